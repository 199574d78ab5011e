// What plotly.min.js leaves on the page, as far as the app uses it.
interface PlotlyLibrary {
  react(element: HTMLElement, data: object[], layout: object, config?: object): Promise<unknown>;
  purge(element: HTMLElement): void;
}
interface Window { Plotly?: PlotlyLibrary }
