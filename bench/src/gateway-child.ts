import { GatewayHost } from '@taskfleet/gateway'
import { pino } from 'pino'
import { answerWith, memoryHeld } from './children.ts'

let host: GatewayHost | undefined

/** A gateway in a process of its own. */
const verbs = {
  async start(mongo: string): Promise<string> {
    host = new GatewayHost({ mongo, listen: { host: '127.0.0.1', port: 0 }, log: pino({ level: 'silent' }) })
    await host.start()
    return host.url!
  },
  memory: memoryHeld,
  cpuMs: (): number => (process.cpuUsage().user + process.cpuUsage().system) / 1_000,
}
export type GatewayVerbs = typeof verbs
answerWith(verbs)
