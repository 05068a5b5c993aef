import { useFleetClient } from '@taskfleet/react'
import { useAsked } from '../live/use-asked.ts'
import { formatCount } from '../view/counts.ts'
import { visibleText } from '../view/text.ts'
import { TaskLink } from './task-link.tsx'

const AGAIN_MS = 60_000
const SHOWN = 3

/** How many documents don't fit and are set aside; nothing while all fit. */
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
          {formatCount(answer.length)} {answer.length === 1 ? 'document does' : 'documents do'} not fit and{' '}
          {answer.length === 1 ? 'is' : 'are'} set aside
        </span>
        :{' '}
        {[...counts].map(([collection, count]) => `${formatCount(count)} in ${visibleText(collection, 40)}`).join(', ')}
        . <code className="font-mono text-text">taskfleet doctor</code> says what is wrong with{' '}
        {answer.length === 1 ? 'it' : 'them'}.
      </p>
      {tasks.slice(0, SHOWN).map(({ id, problem }) => (
        <p key={id} className="truncate text-xs text-dim">
          <TaskLink id={id} /> {visibleText(problem, 200)}
        </p>
      ))}
    </section>
  )
}
