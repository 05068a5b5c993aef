import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { join, relative, sep } from 'node:path'
import fastifyStatic from '@fastify/static'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'

interface Page {
  html: string
  etag: string
}

/** For how many base paths the page is kept; there is one, unless a trusted proxy names others. */
const KEPT = 20
const BASE = '<base href="/" />'

/** The built monitor: its page, which contains its base path, and its files. */
export class MonitorPages {
  readonly #root: string
  readonly #html: string
  readonly #pages = new Map<string, Page>()

  constructor(root: string) {
    this.#root = root
    this.#html = readFileSync(join(root, 'index.html'), 'utf8')
  }

  /** @param basePath returns the monitor's base path as the client of a request sees it */
  async serve(http: FastifyInstance, basePath: (request: FastifyRequest) => string): Promise<void> {
    const send = (request: FastifyRequest, reply: FastifyReply): FastifyReply => {
      const { html, etag } = this.#page(basePath(request))
      setPageHeaders(reply, 'index.html')
      void reply.header('etag', etag)
      if (request.headers['if-none-match']?.includes(etag)) return reply.code(304).send()
      return reply.type('text/html; charset=utf-8').send(html)
    }
    http.get('/', send)
    http.get('/index.html', send)
    await http.register(fastifyStatic, {
      root: this.#root,
      index: false,
      // The build writes a compressed copy beside each file.
      preCompressed: true,
      cacheControl: false,
      setHeaders: (reply, path) => setPageHeaders(reply, relative(this.#root, path)),
    })
    http.setNotFoundHandler(async (request, reply) => {
      // The monitor's own pages have addresses that only it knows.
      const isPage = request.method === 'GET' && (request.headers.accept ?? '').includes('text/html')
      if (isPage && !request.url.startsWith('/api/')) return send(request, reply)
      return reply
        .code(404)
        .type('application/problem+json')
        .send({ type: 'about:blank', status: 404, title: 'Not found', code: 'NOT_FOUND' })
    })
  }

  #page(basePath: string): Page {
    const known = this.#pages.get(basePath)
    if (known !== undefined) return known
    const html = this.#html.replace(BASE, BASE.replace('/"', `${basePath}/"`))
    const page = { html, etag: `"${createHash('sha256').update(html).digest('base64url')}"` }
    if (this.#pages.size < KEPT) this.#pages.set(basePath, page)
    return page
  }
}

function setPageHeaders(reply: FastifyReply, path: string): void {
  // The names of assets change with their content. Everything else is requested again, and answered with 304 if unchanged.
  const isAsset = path.startsWith(`assets${sep}`)
  void reply.header('cache-control', isAsset ? 'public, max-age=31536000, immutable' : 'no-cache')
  void reply.header('vary', 'accept-encoding')
  void reply.header(
    'content-security-policy',
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; font-src 'self'; connect-src 'self' ws: wss: http: https:; base-uri 'self'; form-action 'none'; frame-ancestors 'none'",
  )
  void reply.header('x-content-type-options', 'nosniff')
  void reply.header('referrer-policy', 'no-referrer')
}
