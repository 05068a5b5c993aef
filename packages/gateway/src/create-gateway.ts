import type { IncomingMessage, Server, ServerResponse } from 'node:http'
import type { Duplex } from 'node:stream'
import { asError, type Fleet } from '@taskfleet/core'
import { feedOf } from '@taskfleet/core/internal'
import { given } from '@taskfleet/protocol/internal'
import type { FastifyPluginAsync, FastifyReply, FastifyRequest } from 'fastify'
import { type Logger, pino } from 'pino'
import { Gateway, type GatewayOptions } from './gateway.ts'
import { basePathOf, isBelow } from './proxies.ts'

export interface CreateGatewayOptions
  extends Pick<
    GatewayOptions,
    'publicUrl' | 'basePath' | 'trustProxy' | 'environment' | 'attentionWebhook' | 'routes'
  > {
  fleet: Fleet
  log?: Logger
}

/** A gateway within a server of your own. */
export interface MountedGateway {
  /**
   * Answers a request, for `http.createServer` and Express: `app.use(gateway.handler)`. Requests outside `basePath` go to `next`.
   * Nothing may have read the body before.
   */
  handler(request: IncomingMessage, response: ServerResponse, next?: () => void): void
  /** Takes the websockets of a server below `basePath`, and leaves all others to the server. Returns its undo. */
  attach(server: Pick<Server, 'on' | 'off' | 'listenerCount'>): () => void
  /** Both for Fastify: `app.register(gateway.plugin)`. It closes with the server. */
  plugin: FastifyPluginAsync
  /** Resolves when the gateway has started, and rejects if it can't. Earlier requests wait for it. */
  ready: Promise<void>
  /** Ends its connections. The fleet and the server stay open. */
  close(): Promise<void>
}

/**
 * Serves a fleet's monitor, REST API and sockets below a path of your own server. Set `publicUrl` to its address for browsers: else
 * only requests to addresses and to `localhost` are answered. Without a key only this computer may use it.
 *
 * @throws {FleetError} `BAD_BASE_PATH`, `BAD_TRUST_PROXY`; `BAD_REQUEST` for an invalid `attentionWebhook`
 */
export function createGateway({
  fleet: { database },
  log = pino({ level: 'silent' }),
  publicUrl,
  basePath,
  trustProxy,
  environment,
  attentionWebhook,
  routes,
}: CreateGatewayOptions): MountedGateway {
  const base = basePathOf(basePath)
  const feed = feedOf(database, { log })
  const gateway = new Gateway({
    database,
    feed,
    log,
    ...given({ publicUrl, basePath, trustProxy, environment, attentionWebhook, routes }),
  })
  const start = async (): Promise<void> => {
    await database.requireSchema()
    await feed.start()
    await gateway.start()
  }
  const ready = start()
  ready.catch((error: unknown) => log.error({ err: asError(error) }, 'the gateway could not start'))
  const handler: MountedGateway['handler'] = (request, response, next) => {
    const { originalUrl = request.url } = request as { originalUrl?: string }
    if (next !== undefined && !isBelow(originalUrl, base)) next()
    else
      ready.then(
        () => gateway.handle(request, response),
        () => response.writeHead(503).end(),
      )
  }
  const attach: MountedGateway['attach'] = (server) => {
    const onUpgrade = (request: IncomingMessage, connection: Duplex, head: Buffer): void => {
      if (isBelow(request.url, `${base}/socket.io`)) {
        ready.then(
          () => gateway.upgrade(request, connection, head),
          () => connection.destroy(),
        )
      } else if (server.listenerCount('upgrade') === 1) {
        connection.end('HTTP/1.1 404 Not Found\r\nConnection: close\r\n\r\n')
      }
    }
    server.on('upgrade', onUpgrade)
    return () => server.off('upgrade', onUpgrade)
  }
  const close = async (): Promise<void> => {
    await ready.catch(() => undefined)
    await gateway.stop()
    await feed.stop()
  }
  const plugin: FastifyPluginAsync = async (app) => {
    // The gateway reads bodies itself, within its own limits.
    app.removeAllContentTypeParsers()
    app.addContentTypeParser('*', (_request, _body, done) => done(null))
    const pass = ({ raw }: FastifyRequest, reply: FastifyReply): void => {
      reply.hijack()
      handler(raw, reply.raw)
    }
    for (const url of base === '' ? ['/*'] : [base, `${base}/*`]) app.all(url, pass)
    const detach = attach(app.server)
    app.addHook('preClose', async () => {
      detach()
      await close()
    })
  }
  return { handler, attach, plugin, ready, close }
}
