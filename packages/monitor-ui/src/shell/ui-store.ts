import { createStore } from 'zustand/vanilla'

type OpenDialog = 'new' | 'palette' | 'preferences' | 'shortcuts' | null

interface Toast {
  id: number
  /** `good` by default. */
  kind?: 'good' | 'bad'
  text: string
  /** The toast links to this task. */
  task?: string
}

/** A toast, or the text of a good one. */
export type ToastText = Omit<Toast, 'id'> | string

export interface Ui {
  dialog: OpenDialog
  toasts: Toast[]
  open(dialog: OpenDialog): void
  toast(toast: ToastText): void
  dismiss(id: number): void
}

const STAYS_MS = 8_000

/** The state of the page itself: which dialog is open and which toasts are shown. */
export function createUi() {
  let made = 0
  return createStore<Ui>()((set, get) => ({
    dialog: null,
    toasts: [],
    open: (dialog) => set({ dialog }),
    toast: (toast) => {
      made += 1
      const id = made
      const shown = typeof toast === 'string' ? { text: toast } : toast
      set({ toasts: [...get().toasts.slice(-2), { ...shown, id }] })
      setTimeout(() => get().dismiss(id), STAYS_MS)
    },
    dismiss: (id) => set({ toasts: get().toasts.filter((toast) => toast.id !== id) }),
  }))
}
export type UiStore = ReturnType<typeof createUi>
