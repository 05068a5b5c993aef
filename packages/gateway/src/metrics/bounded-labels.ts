/** The label of all names beyond the limit. */
const OTHER = 'other'

/** Values of a label. The first names up to the limit keep their series for good, so that no series changes its meaning. */
export class BoundedLabels {
  readonly #most: number
  readonly #names = new Set<string>()

  constructor(most: number) {
    this.#most = most
  }

  label(name: string): string {
    if (this.#names.has(name)) return name
    if (this.#names.size >= this.#most) return OTHER
    this.#names.add(name)
    return name
  }
}
