import type { ConnectionState } from '@taskfleet/client'
import { useConnection, useFleetClient, useServerTime } from '@taskfleet/react'
import { Unplug } from 'lucide-react'
import { formatAge } from '../view/format.ts'
import { visibleLine } from '../view/text.ts'

const LOOK: Record<ConnectionState, { label: string; dot: string }> = {
  connecting: { label: 'Connecting', dot: 'bg-warn pulse' },
  live: { label: 'Live', dot: 'bg-done' },
  reconnecting: { label: 'Reconnecting', dot: 'bg-warn pulse' },
  refused: { label: 'Refused', dot: 'bg-bad' },
  closed: { label: 'Closed', dot: 'bg-bad' },
}

/** The state of the connection to the gateway. */
export function ConnectionMark() {
  const { state } = useConnection()
  // The gateway's welcome arrives just after the connection. Each tick looks at it again.
  useServerTime()
  const { welcome } = useFleetClient()
  const { label, dot } = LOOK[state]
  return (
    <span
      data-testid="connection"
      data-state={state}
      role="status"
      className="mr-1 inline-flex shrink-0 items-center gap-1.5 px-1.5 text-xs font-medium text-dim"
      title={
        welcome === undefined
          ? undefined
          : `Taskfleet ${visibleLine(welcome.version, 30)}, gateway ${visibleLine(welcome.worker ?? location.host, 60)}`
      }
    >
      <span className={`size-2 rounded-full ${dot}`} aria-hidden />
      <span className="whitespace-nowrap max-sm:sr-only">{label}</span>
    </span>
  )
}

/** Shown while the page may be out of date. */
export function ConnectionBanner() {
  const { state, since, error } = useConnection()
  useServerTime()
  if (state === 'live' || (state === 'connecting' && Date.now() - since < 1_500)) return null
  const text: Record<Exclude<ConnectionState, 'live'>, string> = {
    connecting: 'Connecting to the gateway…',
    reconnecting: `The gateway has been out of reach for ${formatAge(Date.now() - since)}. This page may be out of date. It keeps trying to reconnect.`,
    refused: 'The gateway refuses this page.',
    closed: 'The connection is closed. Reload the page.',
  }
  return (
    <div
      role="alert"
      data-testid="connection-banner"
      className="flex items-center gap-2 border-b border-line bg-warn/15 px-4 py-1.5 text-warn"
    >
      <Unplug size={14} aria-hidden className="shrink-0" />
      <span>
        {text[state]}
        {error !== undefined && state === 'refused' && ` ${visibleLine(error.message, 200)}`}
      </span>
    </div>
  )
}
