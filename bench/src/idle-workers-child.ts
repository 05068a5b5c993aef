import { defineTask, TaskRunner } from '@taskfleet/worker'
import { z } from 'zod'
import { answerWith } from './children.ts'

let runners: TaskRunner[] = []

/** Workers of a queue without tasks, in a process of their own. */
const verbs = {
  async start(mongo: string, count: number, ownStream: boolean): Promise<void> {
    const tasks = [defineTask({ name: 'idle', input: z.object({}), run: () => null })]
    runners = Array.from({ length: count }, () => new TaskRunner({ mongo, tasks, queues: ['idle'], ownStream }))
    for (const runner of runners) await runner.start()
  },
  async stop(): Promise<void> {
    await Promise.all(runners.map((runner) => runner.stop({ grace: 0 })))
  },
}
export type IdleWorkersVerbs = typeof verbs
answerWith(verbs)
