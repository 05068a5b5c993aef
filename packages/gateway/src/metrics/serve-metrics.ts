import { requireScope } from '@taskfleet/core/internal'
import { FleetError } from '@taskfleet/protocol'
import type { FastifyInstance } from 'fastify'
import type { Access } from '../access.ts'
import { principalOf } from '../rest/authenticate.ts'
import { answerErrors } from '../rest/problem.ts'
import type { FleetMetrics, FleetMetricsDeps } from './fleet-metrics.ts'

interface MetricsRoute {
  stop(): Promise<void>
}

/** Serves `/metrics`. It creates the metrics at the first request, since most gateways are never scraped. */
export async function serveMetrics(
  http: FastifyInstance,
  { access, ...deps }: FleetMetricsDeps & { access: Access },
): Promise<MetricsRoute> {
  let opening: Promise<FleetMetrics> | undefined
  const open = async (): Promise<FleetMetrics> => {
    const { FleetMetrics } = await import('./fleet-metrics.ts')
    const metrics = new FleetMetrics(deps)
    try {
      await metrics.open()
      return metrics
    } catch (error) {
      metrics.close()
      opening = undefined
      throw error
    }
  }
  await http.register(async (scoped) => {
    scoped.setErrorHandler(answerErrors(deps.log))
    scoped.get('/metrics', async (request, reply) => {
      const principal = await principalOf(request, access)
      requireScope(principal, 'read')
      if (principal.queues !== undefined || principal.names !== undefined) {
        throw new FleetError(
          'FORBIDDEN',
          'A key that is limited to queues or names may not read the metrics of the fleet',
        )
      }
      opening ??= open()
      const { text, contentType } = await (await opening).read()
      return reply.header('cache-control', 'no-store').type(contentType).send(text)
    })
  })
  return { stop: async () => (await opening?.catch(() => undefined))?.close() }
}
