const KEY = 'taskfleet.theme'

type Theme = 'light' | 'dark'

function systemTheme(): Theme {
  return matchMedia('(prefers-color-scheme: dark)').matches ? 'dark' : 'light'
}

/** The theme that is shown: the chosen one, or else the system's. */
function shownTheme(): Theme {
  const { theme } = document.documentElement.dataset
  return theme === 'dark' || theme === 'light' ? theme : systemTheme()
}

/** Shows the other theme. Choosing the system's theme means following the system again. */
export function toggleTheme(): void {
  const theme: Theme = shownTheme() === 'dark' ? 'light' : 'dark'
  const chosen = theme === systemTheme() ? undefined : theme
  if (chosen === undefined) delete document.documentElement.dataset.theme
  else document.documentElement.dataset.theme = chosen
  try {
    if (chosen === undefined) localStorage.removeItem(KEY)
    else localStorage.setItem(KEY, chosen)
  } catch {
    // Storage is refused: the choice lives as long as the page.
  }
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
