"""Types of flags, shared by the commands."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

Flag = Annotated[bool, Parameter(negative=())]  # on when named; no --no-… twin in the help
