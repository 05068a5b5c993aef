import { createContext, useContext } from 'react'
import { useStore } from 'zustand'
import type { Ui, UiStore } from './ui-store.ts'

export const UiContext = createContext<UiStore | null>(null)

export function useUi<T>(select: (ui: Ui) => T): T {
  const store = useContext(UiContext)
  if (store === null) throw new Error('useUi needs a <UiContext value={store}> around it')
  return useStore(store, select)
}
