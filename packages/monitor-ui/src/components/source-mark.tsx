import type { RowSource } from '../live/row-source.ts'
import { formatAge } from '../view/format.ts'

const LOOK: Record<RowSource['kind'], { dot: string; tone: string }> = {
  live: { dot: 'bg-done', tone: 'text-dim' },
  stored: { dot: 'bg-edge', tone: 'text-dim' },
  checkpoint: { dot: 'bg-warn', tone: 'text-warn' },
  silent: { dot: 'bg-bad', tone: 'text-bad' },
  reconnecting: { dot: 'bg-warn pulse', tone: 'text-warn' },
  none: { dot: 'bg-edge', tone: 'text-dim' },
}

/** The source of a row's figures in a few words. */
function sourceText(source: RowSource): string {
  switch (source.kind) {
    case 'live':
      return source.via === 'relay' ? 'live by relay' : 'live'
    case 'stored':
      return source.ageMs === undefined ? 'stored, no report yet' : `stored ${formatAge(source.ageMs)} ago`
    case 'checkpoint':
      return source.ageMs === undefined ? 'no report yet' : `checkpoint ${formatAge(source.ageMs)} old`
    case 'silent':
      return `host silent ${formatAge(source.ageMs)}`
    case 'reconnecting':
      return 'reconnecting'
    case 'none':
      return ''
  }
}

const HINT: Record<RowSource['kind'], string> = {
  live: 'Figures come from its host',
  stored: 'Its worker does not listen. Figures come from the database, where they are stored about once a second',
  checkpoint: 'Its host is not connected. Figures come from the last checkpoint in the database',
  silent: 'Its host has missed three heartbeats',
  reconnecting: 'The gateway is unreachable. Figures may be out of date',
  none: '',
}

export function SourceMark({ source }: { source: RowSource }) {
  if (source.kind === 'none') return null
  const { dot, tone } = LOOK[source.kind]
  return (
    <span className={`inline-flex items-center gap-1.5 whitespace-nowrap ${tone}`} title={HINT[source.kind]}>
      <span className={`size-1.5 shrink-0 rounded-full ${dot}`} aria-hidden />
      {sourceText(source)}
    </span>
  )
}
