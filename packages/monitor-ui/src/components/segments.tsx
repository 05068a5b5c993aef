import type { TaskRow } from '@taskfleet/protocol'
import { useFleetClient, useServerTime } from '@taskfleet/react'
import { useTracks } from '@taskfleet/react/internal'
import { SEGMENT_FIELDS } from '../live/download-queries.ts'
import { useAsked } from '../live/use-asked.ts'
import { countOf } from '../view/counts.ts'
import { formatBytes } from '../view/format.ts'
import { segmentsOf } from '../view/segments.ts'

/** A running download stores its checkpoint about as often. */
const AGAIN_MS = 2_000
/** A range that is a smaller part of the file is drawn like this one, to be seen. */
const LEAST_SHOWN = 0.002

/**
 * Which ranges of its file a download has on the disk, as a strip. They come from its checkpoint, which is read only while the strip is
 * shown.
 */
export function Segments({ task }: { task: TaskRow }) {
  const client = useFleetClient()
  const tracks = useTracks()
  const now = useServerTime()
  const running = task.status === 'running'
  const { answer, error } = useAsked(
    async () => (await client.tasks.list({ filter: { _id: task._id }, limit: 1, fields: SEGMENT_FIELDS })).tasks[0],
    { key: `segments ${task._id} ${task.status} ${task.attempt}`, ...(running && { everyMs: AGAIN_MS }) },
  )
  const progress = running ? tracks.of(task, now).latest : task.progress
  const segments = segmentsOf(answer?.checkpoint, progress)
  if (segments === undefined) {
    return (
      <p className="text-xs text-dim" data-testid="segments" data-spans={0}>
        {error?.message ??
          (answer === undefined ? 'Loading…' : 'The download has stored no range of a known size yet.')}
      </p>
    )
  }
  const { spans, have, total } = segments
  const words = `${countOf(spans.length, 'range')} on the disk, ${formatBytes(have)} of ${formatBytes(total)}`
  return (
    <div data-testid="segments" data-spans={spans.length}>
      <div role="img" aria-label={words} className="bar text-run" data-tall>
        {spans.map(({ from, to }) => (
          <i
            key={from}
            title={`${formatBytes(from)} to ${formatBytes(to)}`}
            style={{
              transform: `translateX(${(100 * from) / total}%) scaleX(${Math.max(LEAST_SHOWN, (to - from) / total)})`,
            }}
          />
        ))}
      </div>
      <p className="mt-1 text-xs text-dim">
        {words}
        {running && ', as of its last checkpoint'}
      </p>
    </div>
  )
}
