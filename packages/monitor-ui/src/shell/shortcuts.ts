/** The action that needs the scope write. */
export const NEW = 'New task'

/** The shortcuts besides those of the pages, in the order of the dialog. */
export const SHORTCUTS: [keys: string[], does: string][] = [
  [['j', '↓'], 'Next row'],
  [['k', '↑'], 'Previous row'],
  [['Enter'], 'Open the row'],
  [['x'], 'Select the row'],
  [['Shift', 'x'], 'Select all rows from the last selected one'],
  [['p'], 'Pause or resume the task of the row'],
  [['r'], 'Retry it'],
  [['Shift', 'r'], 'Replay it'],
  [['c'], 'Cancel it'],
  [['←', '→'], 'Previous or next task, while one is open'],
  [['Ctrl', 'k'], 'Search and act'],
  [['/'], 'Filter tasks'],
  [['n'], NEW],
  [['t'], 'Switch between light and dark'],
  [['?'], 'Show the shortcuts'],
  [['Esc'], 'Close the dialog or the open task, leave the field or clear the selection'],
]

/** Two keys pressed within this time are a sequence. */
export const SEQUENCE_MS = 1_000

/**
 * Listens to the whole page. Keys typed into a field or an open dialog are left alone.
 *
 * @param actions by key; `g t` is a sequence, `Ctrl k` works in fields too. Undefined for actions without permission
 * @returns its undo
 */
export function listenToShortcuts(
  actions: Readonly<Record<string, (() => void) | undefined>>,
  page: Document = document,
): () => void {
  let prefixAt = Number.NEGATIVE_INFINITY
  const onKey = (event: KeyboardEvent) => {
    if (event.defaultPrevented || event.altKey) return
    const held = event.ctrlKey || event.metaKey
    const withHeld = held ? actions[`Ctrl ${event.key.toLowerCase()}`] : undefined
    if (withHeld !== undefined) {
      event.preventDefault()
      withHeld()
    }
    if (held) return
    const target = event.target instanceof HTMLElement ? event.target : undefined
    if (target?.closest('dialog[open]')) return
    if (target?.matches('input:not([type=checkbox]), textarea, select, [contenteditable]')) {
      if (event.key === 'Escape') target.blur()
      return
    }
    const sequence = `g ${event.key}`
    const isSequence = event.timeStamp - prefixAt < SEQUENCE_MS && Object.hasOwn(actions, sequence)
    prefixAt = !isSequence && event.key === 'g' ? event.timeStamp : Number.NEGATIVE_INFINITY
    const action = actions[isSequence ? sequence : event.key]
    if (action !== undefined) {
      event.preventDefault()
      action()
    } else if (isSequence) return
    else if (event.key === 'j' || event.key === 'ArrowDown') moveFocus(page, 1, event)
    else if (event.key === 'k' || event.key === 'ArrowUp') moveFocus(page, -1, event)
  }
  page.addEventListener('keydown', onKey)
  return () => page.removeEventListener('keydown', onKey)
}

/** Moves among the elements marked `data-nav`, in the order of the page. */
function moveFocus(page: Document, step: 1 | -1, event: KeyboardEvent): void {
  const all = [...page.querySelectorAll<HTMLElement>('[data-nav]')]
  if (all.length === 0) return
  const focused = page.activeElement
  const here = focused instanceof HTMLElement ? all.indexOf(focused) : -1
  // Arrow keys scroll as usual unless a row has the focus. Letters always move.
  if (here === -1 && event.key.startsWith('Arrow') && focused !== page.body && focused !== null) return
  const next = here === -1 ? (step === 1 ? 0 : all.length - 1) : Math.min(all.length - 1, Math.max(0, here + step))
  event.preventDefault()
  all[next]?.focus()
}
