import { useFleetClient } from '@taskfleet/react'
import { useAsked } from '../live/use-asked.ts'
import { countOf, formatCount } from '../view/counts.ts'
import { visibleText } from '../view/text.ts'
import { TaskLink } from './task-link.tsx'

const AGAIN_MS = 60_000
const SHOWN = 3

/** The number of documents that do not match their schema and are set aside. Empty when there are none. */
export function SetAsideLine() {
  const { documents } = useFleetClient()
  const { answer = [] } = useAsked(() => documents.list(), { key: 'set-aside', everyMs: AGAIN_MS })
  if (answer.length === 0) return null
  const counts = new Map<string, number>()
  for (const { collection } of answer) counts.set(collection, (counts.get(collection) ?? 0) + 1)
  const tasks = answer.filter(({ collection, how }) => collection === 'tasks' && how === 'failed')
  return (
    <section className="rounded-md bg-warn/12 px-3 py-2" aria-label="Documents set aside">
      <p>
        <span className="text-warn">
          {countOf(answer.length, 'invalid document')} {answer.length === 1 ? 'is' : 'are'} set aside
        </span>
        :{' '}
        {[...counts].map(([collection, count]) => `${formatCount(count)} in ${visibleText(collection, 40)}`).join(', ')}
        . <code className="font-mono text-text">taskfleet doctor</code> explains what is wrong.
      </p>
      {tasks.slice(0, SHOWN).map(({ id, problem }) => (
        <p key={id} className="truncate text-xs text-dim">
          <TaskLink id={id} /> {visibleText(problem, 200)}
        </p>
      ))}
    </section>
  )
}
