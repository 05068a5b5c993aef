/** How much room a row takes. `comfortable` has two lines in the list of tasks, the others one. */
export const DENSITIES = {
  compact: 'Compact: one line a task',
  comfortable: 'Comfortable: two lines a task',
  tight: 'Tight: as many as fit',
} as const
export type Density = keyof typeof DENSITIES

export const USUAL_DENSITY: Density = 'compact'

/** The height of a task in the list, in pixels. A narrow screen has cards, which stay as they are. */
export const ROW_HEIGHTS: Record<Density, number> = { comfortable: 50, compact: 28, tight: 24 }

/** A kept choice; anything else is the usual one. */
export const parseDensity = (text: string | undefined): Density =>
  text !== undefined && Object.hasOwn(DENSITIES, text) ? (text as Density) : USUAL_DENSITY
