import { keepChoice } from './kept-choice.ts'

export type Theme = 'light' | 'dark'

function systemTheme(): Theme {
  return matchMedia('(prefers-color-scheme: dark)').matches ? 'dark' : 'light'
}

/** The theme that the user has chosen; undefined to follow the system. */
export function chosenTheme(): Theme | undefined {
  const { theme } = document.documentElement.dataset
  return theme === 'dark' || theme === 'light' ? theme : undefined
}

export function chooseTheme(theme: Theme | undefined): void {
  if (theme === undefined) delete document.documentElement.dataset.theme
  else document.documentElement.dataset.theme = theme
  keepChoice('theme', theme)
}

/** Shows the other theme. Choosing the system's theme means following the system again. */
export function toggleTheme(): void {
  const theme: Theme = (chosenTheme() ?? systemTheme()) === 'dark' ? 'light' : 'dark'
  chooseTheme(theme === systemTheme() ? undefined : theme)
}

/** Called after each change of the shown theme; returns its undo. For what CSS alone can't colour. */
export function onTheme(listener: () => void): () => void {
  const system = matchMedia('(prefers-color-scheme: dark)')
  const chosen = new MutationObserver(listener)
  chosen.observe(document.documentElement, { attributeFilter: ['data-theme'] })
  system.addEventListener('change', listener)
  return () => {
    chosen.disconnect()
    system.removeEventListener('change', listener)
  }
}
