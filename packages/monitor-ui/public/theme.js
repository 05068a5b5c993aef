// Runs before the first paint, so that a chosen theme or density never flashes the other one. A file of its own for the CSP's sake.
try {
  const theme = localStorage.getItem('taskfleet.theme')
  if (theme === 'dark' || theme === 'light') document.documentElement.dataset.theme = theme
  const density = localStorage.getItem('taskfleet.density')
  if (density === 'comfortable' || density === 'tight') document.documentElement.dataset.density = density
} catch {
  // Storage is refused: the system's theme is used.
}
