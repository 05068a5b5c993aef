import { createStore } from 'zustand/vanilla'
import { type NoticeKind, parseKinds } from '../view/notices.ts'
import { type Density, parseDensity, USUAL_DENSITY } from './density.ts'
import { keepChoice, keptChoice } from './kept-choice.ts'

type OpenDialog = 'new' | 'palette' | 'preferences' | 'shortcuts' | null

interface Toast {
  id: number
  /** `good` by default. */
  kind?: 'good' | 'bad'
  text: string
  /** The toast links to this task. */
  task?: string
  /** Takes back what was done. It resolves with the text of the next toast. */
  undo?: () => Promise<ToastText>
}

/** A toast, or the text of a good one. */
export type ToastText = Omit<Toast, 'id'> | string

export interface Ui {
  dialog: OpenDialog
  toasts: Toast[]
  density: Density
  /** What this browser notifies of. */
  notify: readonly NoticeKind[]
  /** The ids of the tasks whose end this browser notifies of. */
  watched: readonly string[]
  open(dialog: OpenDialog): void
  toast(toast: ToastText): void
  dismiss(id: number): void
  setDensity(density: Density): void
  setNotify(kinds: readonly NoticeKind[]): void
  watch(task: string, on: boolean): void
}

const STAYS_MS = 8_000
/** What can be taken back can be for this long. */
const UNDO_MS = 6_000
/** The tasks that were watched first are forgotten when there are more. */
const MOST_WATCHED = 50

/** The state of the page itself: which dialog is open, which toasts are shown, and what this browser prefers. */
export function createUi() {
  let made = 0
  return createStore<Ui>()((set, get) => ({
    dialog: null,
    toasts: [],
    density: parseDensity(keptChoice('density')),
    notify: parseKinds(keptChoice('notify')),
    watched: keptChoice('watched')?.split(',') ?? [],
    open: (dialog) => set({ dialog }),
    toast: (toast) => {
      made += 1
      const id = made
      const shown = typeof toast === 'string' ? { text: toast } : toast
      set({ toasts: [...get().toasts.slice(-2), { ...shown, id }] })
      setTimeout(() => get().dismiss(id), shown.undo === undefined ? STAYS_MS : UNDO_MS)
    },
    setDensity: (density) => {
      keepChoice('density', density === USUAL_DENSITY ? undefined : density)
      // For the tables of all pages.
      document.documentElement.dataset.density = density
      set({ density })
    },
    setNotify: (notify) => {
      keepChoice('notify', notify.length === 0 ? undefined : notify.join(','))
      set({ notify })
    },
    watch: (task, on) => {
      const others = get().watched.filter((id) => id !== task)
      const watched = on ? [...others, task].slice(-MOST_WATCHED) : others
      keepChoice('watched', watched.length === 0 ? undefined : watched.join(','))
      set({ watched })
    },
    dismiss: (id) => set({ toasts: get().toasts.filter((toast) => toast.id !== id) }),
  }))
}
export type UiStore = ReturnType<typeof createUi>
