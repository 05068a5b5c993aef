import { createStore } from 'zustand/vanilla'

type OpenDialog = 'new' | 'shortcuts' | null

interface Toast {
  id: number
  kind: 'good' | 'bad'
  text: string
  /** A task that the toast leads to. */
  task?: string
}

export interface Ui {
  dialog: OpenDialog
  toasts: Toast[]
  open(dialog: OpenDialog): void
  toast(toast: Omit<Toast, 'id'>): void
  dismiss(id: number): void
}

const STAYS_MS = 8_000

/** What belongs to the page alone: which dialog is open and which toasts are shown. */
export function createUi() {
  let made = 0
  return createStore<Ui>()((set, get) => ({
    dialog: null,
    toasts: [],
    open: (dialog) => set({ dialog }),
    toast: (toast) => {
      made += 1
      const id = made
      set({ toasts: [...get().toasts.slice(-2), { ...toast, id }] })
      setTimeout(() => get().dismiss(id), STAYS_MS)
    },
    dismiss: (id) => set({ toasts: get().toasts.filter((toast) => toast.id !== id) }),
  }))
}
export type UiStore = ReturnType<typeof createUi>
