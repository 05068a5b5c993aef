import type { ReactElement } from 'react'
import type { TryAgain, ViewState } from '../fleet-provider.tsx'
import { useConnection } from '../use-connection.ts'
import { visibleLine } from '../words/visible-text.ts'

type View = ViewState & TryAgain

/** Whether anything here may be out of date, for `data-outdated`. */
export function useOutdated(view: ViewState): true | undefined {
  const { state } = useConnection()
  return (view.loaded && !view.live) || state === 'reconnecting' || undefined
}

/** Why a view isn't current: the connection is lost or refused, or the gateway has refused its query. Nothing while all is well. */
export function Problem({ views }: { views: readonly View[] }): ReactElement | null {
  const { state, error } = useConnection()
  if (state === 'refused') return <Alert message={error?.message ?? 'The gateway refuses this connection'} />
  const failed = views.filter((view) => view.error !== undefined)
  const [first] = failed
  if (first?.error !== undefined) {
    const { code, message } = first.error
    return (
      <Alert message={`${message} (${code})`}>
        <button type="button" className="taskfleet-button" onClick={() => failed.forEach((view) => view.tryAgain())}>
          Try again
        </button>
      </Alert>
    )
  }
  if (state === 'reconnecting' || state === 'closed') {
    return (
      <p className="taskfleet-note" role="status" data-tone="warn">
        {state === 'closed' ? 'Disconnected' : 'Reconnecting…'}
      </p>
    )
  }
  if (views.every(({ loaded }) => loaded)) return null
  return (
    <p className="taskfleet-note" role="status">
      {error === undefined ? 'Loading…' : `Not connected yet: ${visibleLine(error.message, 300)}`}
    </p>
  )
}

function Alert({ message, children }: { message: string; children?: ReactElement }): ReactElement {
  return (
    <div className="taskfleet-note" role="alert" data-tone="bad">
      <span>{visibleLine(message, 300)}</span>
      {children}
    </div>
  )
}
