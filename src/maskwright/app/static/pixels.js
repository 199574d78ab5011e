/** What is shown of an image of a run, asked for piece by piece. */
import * as api from "./api.js";

/** Everything an image needs; asked for ahead of time for its neighbours. @param {string} run @param {string} image @param {boolean} two */
export function pixelsOf(run, image, two) {
  const base = api.path`/api/runs/${run}/images/${image}`;
  /** @template T @param {Promise<T>} promise @returns {Promise<T|null>} */
  const maybe = (promise) => promise.catch((error) => {
    if (error instanceof api.ApiError && (error.status === 404 || error.status === 422)) return null;
    throw error;
  });
  return {
    picture: () => api.picture(`${base}/pixels`), part: api.partsOf(`${base}/pixels`), prediction: () => api.grey(`${base}/prediction`), truth: () => maybe(api.grey(`${base}/truth`)),
    uncertainty: () => maybe(api.grey(`${base}/uncertainty`)),
    probability: () => (two ? maybe(api.grey(`${base}/probability`)) : Promise.resolve(null)),
    curve: () => (two ? maybe(api.once(`${base}/curve`)) : Promise.resolve(null)),
  };
}

/** The id another run has for an image: the one of the same name and split. @param {string} run @param {api.RunImage} item @returns {Promise<string|null>} */
export async function sameImage(run, item) {
  for (let offset = 0, total = 1; offset < total; offset += 500) {
    const page = /** @type {{total: number, items: api.RunImage[]}} */ (await api.once(`${api.path`/api/runs/${run}/images`}${api.query({ split: item.split, sort: "name", offset, limit: 500 })}`));
    const found = page.items.find((each) => each.name === item.name);
    if (found) return found.id;
    total = page.total;
  }
  return null;
}

/** @param {string} run @param {string} image @param {boolean} two */
export function prefetch(run, image, two) {
  const want = pixelsOf(run, image, two);
  Promise.all([want.picture(), want.prediction(), want.truth()]).then(() => Promise.all([want.probability(), want.curve()])).catch(() => undefined);
}
