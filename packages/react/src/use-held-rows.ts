import { useMemo, useRef, useState } from 'react'
import { HeldRows, type HeldView } from './held-rows.ts'

/** Rows that keep their places while `held`; `apply` shows the live ones. */
export function useHeldRows<R extends { _id: string }>(
  key: string,
  live: readonly R[],
  held: boolean,
): HeldView<R> & { apply: () => void } {
  const holder = useRef<HeldRows<R> | null>(null)
  holder.current ??= new HeldRows<R>()
  const rows = holder.current
  const [applied, setApplied] = useState(0)
  // biome-ignore lint/correctness/useExhaustiveDependencies(applied): applying must look again
  const view = useMemo(() => rows.view(key, live, held), [rows, key, live, held, applied])
  return {
    ...view,
    apply: () => {
      rows.apply()
      setApplied((count) => count + 1)
    },
  }
}
