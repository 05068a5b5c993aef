import type { ErrorRow } from '@taskfleet/protocol'
import { useFleetClient } from '@taskfleet/react'
import { useOnScreen } from '../live/hooks.ts'
import { useAsked } from '../live/use-asked.ts'
import { countOf, formatCount } from '../view/counts.ts'
import { placesOf } from '../view/error-places.ts'
import { Foreign } from './foreign.tsx'
import { Problem } from './notes.tsx'
import { ScrollRegion } from './scroll-region.tsx'

const AGAIN_MS = 30_000
/** The most that a gateway returns at once. */
const MOST = 1_000
const FIELDS = ['host', 'name', 'version']

/** On which hosts and in which versions the tasks failed. */
export function ErrorPlaces({ error }: { error: ErrorRow }) {
  const client = useFleetClient()
  const [ref, visible] = useOnScreen()
  const filter = { status: 'failed', 'error.fingerprint': error._id }
  const { answer, error: problem } = useAsked(
    () => client.tasks.list({ filter, sort: { finishedAt: -1 }, limit: MOST, fields: FIELDS }),
    { key: `places ${error._id}`, everyMs: AGAIN_MS, active: visible },
  )
  const { hosts, types, count } = placesOf(answer?.tasks ?? [])
  const total = answer === undefined ? 0 : answer.tasks.length
  return (
    <section ref={ref} className="panel min-w-0 p-3" aria-label="Where it failed">
      <h2 className="heading">
        Where it failed
        {total > 0 && (
          <span className="ml-2 font-normal normal-case">
            {answer?.cursor === undefined
              ? `${countOf(total, 'failed task')}`
              : `the last ${countOf(total, 'failed task')}`}
          </span>
        )}
      </h2>
      <Problem text={problem?.message} />
      {answer !== undefined && total === 0 && <p className="mt-1 text-dim">No task with this error is kept.</p>}
      {total > 0 && (
        <ScrollRegion label="Where it failed, table" className="mt-2 overflow-x-auto">
          <table aria-label="Failed tasks by host and version" className="border-collapse text-left">
            <thead className="text-dim">
              <tr>
                <th scope="col" className="py-1 pr-4 font-normal">
                  Host
                </th>
                {types.map((type) => (
                  <th key={type} scope="col" className="py-1 pr-4 text-right font-normal">
                    <Foreign text={type} max={40} />
                  </th>
                ))}
              </tr>
            </thead>
            <tbody>
              {hosts.map((host) => (
                <tr key={host} className="border-t border-line">
                  <th scope="row" className="py-1 pr-4 font-medium">
                    {host === '' ? <span className="text-dim">unknown</span> : <Foreign text={host} max={40} />}
                  </th>
                  {types.map((type) => {
                    const failed = count(host, type)
                    return (
                      <td key={type} className={`py-1 pr-4 text-right tabular-nums ${failed === 0 ? 'text-dim' : ''}`}>
                        {failed === 0 ? '–' : formatCount(failed)}
                      </td>
                    )
                  })}
                </tr>
              ))}
            </tbody>
          </table>
        </ScrollRegion>
      )}
    </section>
  )
}
