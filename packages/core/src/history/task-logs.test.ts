import { useDatabase } from '@taskfleet/testkit/use-database'
import { mongo } from 'mongoose'
import { expect, test } from 'vitest'
import { TaskLogs } from './task-logs.ts'

const held = useDatabase()
const line = (seq: number) => ({ seq, level: 'info' as const, message: `line ${seq}`, at: new Date(0).toISOString() })

test('lines that are stored twice after a lost response exist once', async () => {
  const logs = new TaskLogs(held.database.db)
  const task = new mongo.ObjectId()
  const news = [{ task, attempt: 1, lease: 'l', lines: [line(1), line(2)] }]
  await Promise.all([logs.append(news), logs.append(news), logs.append(news)])
  await logs.append([{ task, attempt: 1, lease: 'l', lines: [line(1), line(2), line(3)] }])
  const read = await logs.read(task, {})
  expect(read.map(({ seq }) => seq)).toEqual([1, 2, 3])
  expect(await held.database.db.collection('taskLogs').countDocuments({ task })).toBe(1)
})
