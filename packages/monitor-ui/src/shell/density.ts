import { keepChoice, keptChoice } from './kept-choice.ts'

/** The height of rows. */
export type Density = 'normal' | 'compact'

export const chosenDensity = (): Density => (keptChoice('density') === 'compact' ? 'compact' : 'normal')

/** Stylesheets see it as `data-density` of the document. */
export function showDensity(density: Density = chosenDensity()): void {
  document.documentElement.dataset.density = density
}

export function chooseDensity(density: Density): void {
  keepChoice('density', density === 'normal' ? undefined : density)
  showDensity(density)
}
