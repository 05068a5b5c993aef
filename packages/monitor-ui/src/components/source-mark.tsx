import { type RowSource, SOURCE_HINT, sourceText } from '@taskfleet/react/internal'

const LOOK: Record<RowSource['kind'], { dot: string; tone: string }> = {
  live: { dot: 'bg-done', tone: 'text-dim' },
  stored: { dot: 'bg-edge', tone: 'text-dim' },
  checkpoint: { dot: 'bg-warn', tone: 'text-warn' },
  silent: { dot: 'bg-bad', tone: 'text-bad' },
  reconnecting: { dot: 'bg-warn pulse', tone: 'text-warn' },
  none: { dot: 'bg-edge', tone: 'text-dim' },
}

export function SourceMark({ source }: { source: RowSource }) {
  if (source.kind === 'none') return null
  const { dot, tone } = LOOK[source.kind]
  return (
    <span className={`inline-flex items-center gap-1.5 whitespace-nowrap ${tone}`} title={SOURCE_HINT[source.kind]}>
      <span className={`size-1.5 shrink-0 rounded-full ${dot}`} aria-hidden />
      {sourceText(source)}
    </span>
  )
}
