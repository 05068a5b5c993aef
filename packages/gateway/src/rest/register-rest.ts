import cors from '@fastify/cors'
import rateLimit from '@fastify/rate-limit'
import swaggerUi from '@fastify/swagger-ui'
import type { Fleet } from '@taskfleet/core'
import type { LiveQueries } from '@taskfleet/core/internal'
import { FleetError } from '@taskfleet/protocol'
import type { FastifyInstance, FastifyServerOptions } from 'fastify'
import type { Logger } from 'pino'
import type { Access } from '../access.ts'
import type { FileDoor } from '../files/file-door.ts'
import { authenticate, authorise } from './authenticate.ts'
import { BODY_LIMITS, BODY_TIMES, readJson, readTextBody } from './body.ts'
import { IdempotencyKeys } from './idempotency.ts'
import { describeRoutes } from './openapi.ts'
import { operationRoutes } from './operation-routes.ts'
import { answerErrors } from './problem.ts'
import { type ExtraRoutes, mount, type RestRoute } from './route.ts'
import { auditRoutes } from './routes/audit.ts'
import { fileRoute } from './routes/files.ts'
import { queueRoute } from './routes/queues.ts'
import { sessionRoutes } from './routes/sessions.ts'
import { statsRoute } from './routes/stats.ts'
import { taskRoutes } from './routes/tasks.ts'
import { serializerCompiler, validatorCompiler } from './validate.ts'

/** How many requests each key may send within a time. */
export interface RateLimit {
  requests: number
  /** In milliseconds. */
  within: number
}

export interface RestDeps {
  fleet: Fleet
  queries: LiveQueries
  access: Access
  files: FileDoor
  log: Logger
  /** Routes of other packages. */
  routes?: ExtraRoutes | undefined
  /** 200 a second by default. */
  rateLimit?: RateLimit | undefined
  /** The base path of all of this for clients; the root by default. */
  basePath?: string
  /** How long a body may pause, and take in all, in milliseconds. */
  bodyTimes?: { silent: number; whole: number }
}

declare module 'fastify' {
  interface FastifyRequest {
    /** The length of its body. */
    bodyBytes: number
  }
}

/** Every route of `/api/v1`. */
export function restRoutes({ fleet, queries, access, files }: RestDeps): RestRoute[] {
  const idempotency = new IdempotencyKeys(fleet.database.db)
  return [
    ...operationRoutes(),
    ...taskRoutes({ fleet, idempotency }),
    fileRoute({ files }),
    queueRoute,
    statsRoute({ queries }),
    ...auditRoutes({ fleet }),
    ...sessionRoutes({ sessions: access.sessions }),
  ]
}

/** The options of the server itself: invalid addresses get the same kind of answer as other errors. */
export const restServerOptions = (log: Logger): Pick<FastifyServerOptions, 'frameworkErrors' | 'routerOptions'> => ({
  frameworkErrors: answerErrors(log) as never,
  routerOptions: { maxParamLength: 16_384 },
})

/** Serves the API, its document at `/api/openapi.json` and a page to try it at `/api/docs`. */
export async function registerRest(http: FastifyInstance, deps: RestDeps): Promise<void> {
  const { basePath = '' } = deps
  await http.register(async (api) => {
    await describeRoutes(api, `${basePath}/`)
    await api.register((v1) => serve(v1, deps), { prefix: '/api/v1' })
    api.get('/api/openapi.json', { schema: { hide: true } as object }, () => api.swagger())
    await api.register(swaggerUi, {
      routePrefix: '/api/docs',
      indexPrefix: basePath,
      uiConfig: { url: `${basePath}/api/openapi.json`, validatorUrl: null, deepLinking: true } as object,
      staticCSP: PAGE_POLICY,
    })
  })
}

/** Swagger's page sets inline styles; its scripts are only its files. */
const PAGE_POLICY =
  "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; font-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

async function serve(v1: FastifyInstance, deps: RestDeps): Promise<void> {
  const { access, log, fleet, bodyTimes = BODY_TIMES } = deps
  const { requests, within } = deps.rateLimit ?? { requests: 200, within: 1_000 }
  v1.setValidatorCompiler(validatorCompiler as never)
  v1.setSerializerCompiler(serializerCompiler)
  v1.setErrorHandler(answerErrors(log))
  // The page of another gateway makes a session here when its own is gone. Origins outside of the fleet were refused before.
  await v1.register(cors, {
    origin: true,
    methods: ['POST'],
    allowedHeaders: ['authorization', 'accept'],
    maxAge: 600,
    hideOptionsRoute: true,
  })
  v1.decorateRequest('bodyBytes', 0)
  v1.removeAllContentTypeParsers()
  v1.addContentTypeParser(
    'application/json',
    async (request: { bodyBytes: number; routeOptions: { bodyLimit?: number } }, payload: NodeJS.ReadableStream) => {
      const { value, bytes } = await readJson(payload, {
        limit: request.routeOptions.bodyLimit ?? BODY_LIMITS.one,
        times: bodyTimes,
      })
      request.bodyBytes = bytes
      return value
    },
  )
  authenticate(v1, access)
  await v1.register(rateLimit, {
    max: requests,
    timeWindow: within,
    enableDraftSpec: true,
    cache: 10_000,
    keyGenerator: ({ principal, ip }) => `${principal.id} ${principal.id === 'local' ? ip : ''}`,
    errorResponseBuilder: (_request, { max }) =>
      new FleetError(
        'RATE_LIMITED',
        `A key may send ${max} requests in ${within} ms: wait for the time in retry-after`,
      ),
  })
  v1.addHook('preParsing', async (request) => authorise(request, fleet))
  mount(v1, restRoutes(deps), (principal) => fleet.as(principal))
  for (const extra of (await deps.routes?.()) ?? []) {
    await v1.register(async (own) => {
      const read = (request: { routeOptions: { bodyLimit?: number } }, payload: NodeJS.ReadableStream) =>
        readTextBody(payload, { limit: request.routeOptions.bodyLimit ?? BODY_LIMITS.one, times: bodyTimes })
      if (extra.text !== undefined) own.addContentTypeParser([...extra.text], read)
      mount(own, [extra], (principal) => fleet.as(principal))
    })
  }
}
