/** What only a key that may write can do. */
export const NEW = 'New download'
/** What only an unlimited key of administrators can do. */
export const KEYS = 'Go to the keys'

/** What the keys do, in the words of the page that lists them. */
export const SHORTCUTS: [keys: string[], does: string][] = [
  [['j', '↓'], 'Next row'],
  [['k', '↑'], 'Previous row'],
  [['Enter'], 'Open the row'],
  [['x'], 'Select the row of a list'],
  [['Shift', 'x'], 'Select from the last one to this'],
  [['/'], 'Filter tasks'],
  [['n'], NEW],
  [['g', 'f'], 'Go to the fleet'],
  [['g', 't'], 'Go to the tasks'],
  [['g', 'e'], 'Go to the errors'],
  [['g', 'c'], 'Go to the coverage'],
  [['g', 'q'], 'Go to the queues'],
  [['g', 'v'], 'Go to the events'],
  [['g', 's'], 'Go to the schedules'],
  [['g', 'a'], 'Go to the audit log'],
  [['g', 'k'], KEYS],
  [['t'], 'Light or dark'],
  [['?'], 'Show these keys'],
  [['Esc'], 'Close, leave a field, select nothing'],
]

export interface ShortcutActions {
  fleet(): void
  tasks(): void
  errors(): void
  coverage(): void
  queues(): void
  audit(): void
  events(): void
  schedules(): void
  /** Absent for those who may not. */
  keys: (() => void) | undefined
  filter(): void
  /** Absent for those who may not. */
  create: (() => void) | undefined
  theme(): void
  help(): void
}

/** Two keys pressed within this time are a sequence. */
const SEQUENCE_MS = 1_000

/** Listens to the whole page; returns its undo. Keys typed into a field or an open dialog are left alone. */
export function listenToShortcuts(actions: ShortcutActions, page: Document = document): () => void {
  let prefixAt = Number.NEGATIVE_INFINITY
  const onKey = (event: KeyboardEvent) => {
    if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey) return
    const target = event.target instanceof HTMLElement ? event.target : undefined
    if (target?.closest('dialog[open]')) return
    if (target?.matches('input:not([type=checkbox]), textarea, select, [contenteditable]')) {
      if (event.key === 'Escape') target.blur()
      return
    }
    const afterG = event.timeStamp - prefixAt < SEQUENCE_MS
    prefixAt = Number.NEGATIVE_INFINITY
    const act = (does: () => void) => {
      event.preventDefault()
      does()
    }
    if (afterG && event.key === 'f') return act(actions.fleet)
    if (afterG && event.key === 't') return act(actions.tasks)
    if (afterG && event.key === 'e') return act(actions.errors)
    if (afterG && event.key === 'c') return act(actions.coverage)
    if (afterG && event.key === 'q') return act(actions.queues)
    if (afterG && event.key === 'v') return act(actions.events)
    if (afterG && event.key === 's') return act(actions.schedules)
    if (afterG && event.key === 'k') return actions.keys === undefined ? undefined : act(actions.keys)
    if (afterG && event.key === 'a') return act(actions.audit)
    switch (event.key) {
      case 'g':
        prefixAt = event.timeStamp
        return
      case '/':
        return act(actions.filter)
      case 'n':
        return actions.create === undefined ? undefined : act(actions.create)
      case 't':
        return act(actions.theme)
      case '?':
        return act(actions.help)
      case 'j':
      case 'ArrowDown':
        return moveFocus(page, 1, event)
      case 'k':
      case 'ArrowUp':
        return moveFocus(page, -1, event)
    }
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
  // Arrows scroll as usual unless a row is focused; letters always move.
  if (here === -1 && event.key.startsWith('Arrow') && focused !== page.body && focused !== null) return
  const next = here === -1 ? (step === 1 ? 0 : all.length - 1) : Math.min(all.length - 1, Math.max(0, here + step))
  event.preventDefault()
  all[next]?.focus()
}
