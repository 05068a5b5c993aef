// Runs before the first paint, so that a chosen theme never flashes the other one. A file of its own for the CSP's sake.
try {
  const theme = localStorage.getItem('taskfleet.theme')
  if (theme === 'dark' || theme === 'light') document.documentElement.dataset.theme = theme
} catch {
  // Storage is refused: the system's theme is used.
}
