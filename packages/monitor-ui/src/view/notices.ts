import type { AttentionRow, ErrorRow, TaskRow } from '@taskfleet/protocol'
import { visibleLine } from './text.ts'

/** What the browser can notify of. A new kind does not compile until it has its words. */
export const NOTICE_KINDS = {
  errors: { label: 'New errors', hint: 'An error that is not in the list of open ones yet, or came back.' },
  schedules: { label: 'Missed schedules', hint: 'The time of a schedule has passed and no task was made.' },
  urgent: {
    label: 'All that needs somebody now',
    hint: 'Tasks that nobody serves, queues that are behind, hosts that are silent, errors that rise.',
  },
  tasks: { label: 'Tasks that I watch', hint: 'The end of a task. Choose “Notify me” on its page.' },
} as const
export type NoticeKind = keyof typeof NOTICE_KINDS

/** The kinds in a kept text: `errors,tasks`. */
export function parseKinds(text: string | undefined): NoticeKind[] {
  const known = Object.keys(NOTICE_KINDS) as NoticeKind[]
  return known.filter((kind) => text?.split(',').includes(kind))
}

/** A notification. */
export interface Notice {
  /** The same thing has the same id. */
  id: string
  title: string
  body: string
  /** The page that it opens. */
  page: { to: string; search?: Record<string, string> }
}

/** What is known and can lead to notices. */
export interface Noticed {
  attention: readonly AttentionRow[]
  /** Open errors. */
  errors: readonly ErrorRow[]
  /** The watched tasks. */
  tasks: readonly TaskRow[]
}

/** Everything there is to notify of, whether somebody was notified before or not. */
export function noticesOf({ attention, errors, tasks }: Noticed, kinds: readonly NoticeKind[]): Notice[] {
  const wants = (kind: NoticeKind): boolean => kinds.includes(kind)
  const rows = attention.filter(
    ({ urgency, kind }) => urgency === 'now' && (wants('urgent') || (wants('schedules') && kind === 'missed')),
  )
  const all = [
    ...(wants('errors') ? errors.map(ofError) : []),
    ...rows.map(ofAttention),
    ...(wants('tasks') ? tasks.flatMap(ofTask) : []),
  ]
  return [...new Map(all.map((notice) => [notice.id, notice])).values()]
}

/** One that comes back after it was resolved is another item. */
const ofError = ({ _id, code, message, tasks, reopened }: ErrorRow): Notice => ({
  id: `error:${_id}:${reopened}`,
  title: `${reopened > 0 ? 'Error came back' : 'New error'}: ${visibleLine(code, 60)}`,
  body: visibleLine(`${tasks.slice(0, 3).join(', ')}: ${message}`, 200),
  page: { to: `/errors/${encodeURIComponent(_id)}` },
})

const ofAttention = (row: AttentionRow): Notice => ({
  id: `attention:${row._id}`,
  title: visibleLine(`${row.kind === 'missed' ? 'Missed schedule' : 'Needs somebody'}: ${row.subject}`, 80),
  body: visibleLine(row.message, 200),
  page: pageOf(row),
})

function pageOf({ kind, error, schedule }: AttentionRow): Notice['page'] {
  if (error !== undefined) return { to: `/errors/${encodeURIComponent(error)}` }
  if (schedule !== undefined) return { to: '/schedules', search: { name: schedule } }
  return { to: kind === 'unserved' ? '/handlers' : '/' }
}

const ENDS: Partial<Record<TaskRow['status'], string>> = {
  completed: 'Completed',
  failed: 'Failed',
  cancelled: 'Cancelled',
}

function ofTask({ _id, status, title, name, error }: TaskRow): Notice[] {
  const end = ENDS[status]
  if (end === undefined) return []
  return [
    {
      id: `task:${_id}:${status}`,
      title: `${end}: ${visibleLine(title ?? name, 80)}`,
      body: error === undefined || status !== 'failed' ? '' : visibleLine(error.message, 200),
      page: { to: `/tasks/${_id}` },
    },
  ]
}
