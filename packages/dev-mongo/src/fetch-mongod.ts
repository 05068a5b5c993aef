import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createRequire } from 'node:module'
import { createInterface } from 'node:readline'
import type { Search } from './types.ts'

/** How long the download may take to begin, and how long it may stall, in milliseconds. */
const patience = { begin: 10_000, stall: 60_000 }

/**
 * Runs in a process of its own, because a download can't be cancelled. Fails at once when the download's host has no address, instead of
 * after three tries; behind a proxy only the proxy can look that up. Ends with its parent.
 */
const script = `
process.stdin.on('end', () => process.exit(1)).resume()
const { DryMongoBinary, MongoBinary } = require(process.argv[1])
const proxied = ['https_proxy', 'http_proxy', 'npm_config_proxy', 'npm_config_https_proxy', 'npm_config_https-proxy']
  .some((name) => process.env[name] || process.env[name.toUpperCase()])
const mirror = process.env.MONGOMS_DOWNLOAD_URL || process.env.MONGOMS_DOWNLOAD_MIRROR || 'https://fastdl.mongodb.org'
async function main() {
  if (await DryMongoBinary.locateBinary({})) return
  console.log('missing')
  if (!proxied) await require('node:dns/promises').lookup(new URL(mirror).hostname)
}
main().then(() => MongoBinary.getPath()).then(
  (path) => { console.log('found ' + path); process.exit(0) },
  (error) => { console.log('failed ' + String(error.message).split('\\n')[0]); process.exit(1) },
)
`

/**
 * The path of mongodb-memory-server's `mongod`: from its cache at once, else downloaded.
 *
 * @throws Error with the reason, after 10 s if nothing arrives
 */
export async function fetchMongod({ env, log }: Pick<Search, 'env' | 'log'>): Promise<string> {
  const library = createRequire(import.meta.url).resolve('mongodb-memory-server-core')
  const child = spawn(process.execPath, ['-e', script, library], { env, stdio: ['pipe', 'pipe', 'ignore'] })
  const closed = once(child, 'close')
  const giveUp = () => child.kill('SIGKILL')
  let timer = setTimeout(giveUp, patience.begin)
  let begun = false
  let answer = ''
  createInterface({ input: child.stdout }).on('line', (line) => {
    if (line === 'missing') {
      log('Database: no local MongoDB; downloading one (about 100 MB, once) · set TASKFLEET_MONGO_URI to use your own')
    } else if (/^(found|failed) /.test(line)) {
      answer = line
    } else if (/\d/.test(line)) {
      begun = true
      clearTimeout(timer)
      timer = setTimeout(giveUp, patience.stall)
    }
  })
  await closed.finally(() => clearTimeout(timer))
  if (answer.startsWith('found ')) return answer.slice('found '.length)
  const seconds = (begun ? patience.stall : patience.begin) / 1000
  const reason = answer ? answer.slice('failed '.length) : `nothing arrived for ${seconds} s`
  log(`Database: MongoDB can't be downloaded here (${reason}); looking for a stand-in`)
  throw new Error(`the download of MongoDB failed: ${reason}`)
}
