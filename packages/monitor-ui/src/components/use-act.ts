import { useState } from 'react'
import { wireError } from '../live/wire-error.ts'
import { useUi } from '../shell/ui-context.ts'

/** Something that somebody asked for: whether it is under way, and why it did not work. */
export function useAct() {
  const toast = useUi((ui) => ui.toast)
  const [busy, setBusy] = useState(false)
  const [problem, setProblem] = useState<string>()
  const act = async (run: () => Promise<void>, told: (message: string) => void): Promise<void> => {
    setBusy(true)
    setProblem(undefined)
    try {
      await run()
    } catch (thrown) {
      told(wireError(thrown).message)
    } finally {
      setBusy(false)
    }
  }
  return {
    busy,
    problem,
    setProblem,
    /** What it rejects with becomes `problem`, for who shows it beside what was asked. */
    act: (run: () => Promise<void>): void => void act(run, setProblem),
    /** What it rejects with is said at the side, after `about`. */
    actAside: (run: () => Promise<void>, about = ''): void =>
      void act(run, (message) => toast({ kind: 'bad', text: `${about}${message}` })),
  }
}
