// Before anything is drawn: light or dark as chosen here, else as the system has it.
try {
  const chosen = localStorage.getItem("maskwright-theme");
  if (chosen) document.documentElement.dataset.theme = chosen;
} catch { /* storage may be switched off */ }
