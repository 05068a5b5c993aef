import { execFileSync, spawn, spawnSync } from 'node:child_process'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import tls from 'node:tls'
import { freePort } from '@taskfleet/dev-mongo'

interface Cleanup {
  cleanup(act: () => Promise<unknown> | unknown): void
}

/** Whether nginx and openssl are installed here. */
export const hasNginx = ['nginx -v', 'openssl version'].every((line) => {
  const [command, option] = line.split(' ')
  return spawnSync(command!, [option!]).status === 0
})

interface RealNginxOptions {
  /** The content of `http { … }`; `PORT` is the port to listen on, `CERTIFICATE` the two lines of a certificate of `localhost`. */
  http: string
  scheme: 'http' | 'https'
  port?: number
}

/** A certificate of `localhost`; this process trusts it while the test runs. */
async function certificate(test: Cleanup, folder: string): Promise<string> {
  const [key, cert] = [join(folder, 'key.pem'), join(folder, 'cert.pem')]
  const subject = ['-subj', '/CN=localhost', '-addext', 'subjectAltName=DNS:localhost,IP:127.0.0.1']
  const made = ['req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-days', '2', '-keyout', key, '-out', cert, ...subject]
  execFileSync('openssl', made, { stdio: 'ignore' })
  const authority = await readFile(cert)
  const { createSecureContext } = tls
  tls.createSecureContext = (options) => {
    const made = createSecureContext(options)
    made.context.addCACert(authority)
    return made
  }
  test.cleanup(() => {
    tls.createSecureContext = createSecureContext
  })
  return `ssl_certificate ${cert}; ssl_certificate_key ${key};`
}

/** Starts nginx with a configuration of its own in the foreground. Resolves with its address once it listens. */
export async function startNginx(test: Cleanup, { http, scheme, port: asked }: RealNginxOptions): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'taskfleet-nginx-'))
  test.cleanup(() => rm(folder, { recursive: true, force: true }))
  const port = asked ?? (await freePort())
  const lines = scheme === 'https' ? await certificate(test, folder) : ''
  const paths = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map((one) => `${one}_temp_path ${folder}/${one};`)
  const config = `daemon off; worker_processes 1; pid ${folder}/pid; error_log stderr warn;
events { worker_connections 512; }
http { access_log off; ${paths.join(' ')}
${http.replaceAll('PORT', String(port)).replaceAll('CERTIFICATE', lines)}
}`
  await writeFile(join(folder, 'nginx.conf'), config)
  const nginx = spawn('nginx', ['-p', folder, '-c', join(folder, 'nginx.conf')], {
    stdio: ['ignore', 'ignore', 'pipe'],
  })
  let said = ''
  nginx.stderr.on('data', (part) => (said += String(part)))
  const ended = new Promise<void>((resolve) => nginx.once('exit', () => resolve()))
  test.cleanup(() => {
    nginx.kill('SIGQUIT')
    nginx.kill('SIGTERM')
    return ended
  })
  const listens = async (): Promise<void> => {
    while (!(await accepts(port))) await new Promise((resolve) => setTimeout(resolve, 20))
  }
  const failed = ended.then(() => Promise.reject(new Error(`nginx ended: ${said}`)))
  failed.catch(() => undefined)
  await Promise.race([listens(), failed])
  return `${scheme}://localhost:${port}`
}

/** Whether something listens on the port of 127.0.0.1. */
function accepts(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ host: '127.0.0.1', port }, () => resolve(true))
    socket.on('connect', () => socket.destroy())
    socket.on('error', () => resolve(false))
  })
}
