import { useState } from 'react'
import { wireError } from '../live/wire-error.ts'
import { useUi } from '../shell/ui-context.ts'
import type { ToastText } from '../shell/ui-store.ts'

/** An action of the user. It resolves with the text of a toast. */
export type Act = () => Promise<ToastText>

/** Carries out the user's actions, one at a time. */
export function useAct() {
  const toast = useUi((ui) => ui.toast)
  const [busy, setBusy] = useState(false)
  const [problem, setProblem] = useState<string>()
  const act = async (run: Act, onError: (message: string) => void): Promise<void> => {
    setBusy(true)
    setProblem(undefined)
    try {
      toast(await run())
    } catch (thrown) {
      onError(wireError(thrown).message)
    } finally {
      setBusy(false)
    }
  }
  return {
    busy,
    problem,
    /** Sets `problem` to the message of an error. */
    act: (run: Act): void => void act(run, setProblem),
    /** Shows an error as a toast, with `prefix` before its message. */
    actAside: (run: Act, prefix = ''): void =>
      void act(run, (message) => toast({ kind: 'bad', text: `${prefix}${message}` })),
  }
}
