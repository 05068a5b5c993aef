import { hasEnded } from '@taskfleet/protocol'
import type { ReactElement } from 'react'
import type { LiveTask } from '../use-live-task.ts'
import { formatAge, formatDuration, formatPercent } from '../words/amounts.ts'
import { endedText, leftText, progressText, rateText, taskTitle, waitText } from '../words/figures.ts'
import { SOURCE_HINT, sourceText } from '../words/source-words.ts'
import { visibleLine } from '../words/visible-text.ts'
import { Bar } from './bar.tsx'
import { toneOf } from './marks.tsx'

/** The bar of a task, for one that runs or has reported progress. */
export function TaskBar({ live }: { live: LiveTask }): ReactElement | null {
  const { task, ratio, source } = live
  if (task.status !== 'running' && ratio === undefined) return null
  return (
    <div className="taskfleet-bar-line" data-tone={toneOf(task, source)}>
      <Bar
        // An ended task without a total did not get on, so its bar does not move.
        ratio={ratio ?? (task.status === 'running' ? undefined : 0)}
        label={`Progress of ${visibleLine(taskTitle(task), 80)}`}
      />
    </div>
  )
}

/** How far a task is and where that is known from, or how it ended, or what it waits for. */
export function TaskFigures({ live }: { live: LiveTask }): ReactElement {
  const { task, progress, ratio, rate, secondsLeft, source } = live
  if (task.status !== 'running') {
    return (
      <div className="taskfleet-figures">
        <span className="taskfleet-message">{hasEnded(task.status) ? endOf(live) : waitOf(live)}</span>
      </div>
    )
  }
  const message = visibleLine(progress?.message ?? '', 120)
  return (
    <div className="taskfleet-figures">
      {ratio !== undefined && <strong>{formatPercent(ratio)}</strong>}
      <span>{progressText(progress)}</span>
      {message !== '' && <bdi className="taskfleet-message">{message}</bdi>}
      <span>{rateText(rate, progress)}</span>
      <span>{leftText(secondsLeft)}</span>
      <span className="taskfleet-source" data-source={source.kind} title={SOURCE_HINT[source.kind]}>
        {sourceText(source)}
      </span>
    </div>
  )
}

function endOf({ task, now }: LiveTask): string {
  if (task.status === 'failed' && task.error !== undefined) return visibleLine(task.error.message, 160)
  const begun = task.startedAt ?? task.claimedAt
  const { finishedAt } = task
  const parts = [
    endedText(task),
    begun === undefined || finishedAt === undefined
      ? ''
      : `in ${formatDuration(Date.parse(finishedAt) - Date.parse(begun))}`,
    finishedAt === undefined ? '' : `${formatAge(now - Date.parse(finishedAt))} ago`,
  ]
  return parts.filter((part) => part !== '').join(' · ')
}

function waitOf({ task, now }: LiveTask): string {
  return waitText(task, now) || `waits ${formatAge(now - Date.parse(task.runAt))}`
}
