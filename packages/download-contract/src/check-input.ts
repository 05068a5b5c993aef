import { FleetError } from '@taskfleet/protocol'
import { readChecksum } from './checksum-text.ts'
import { type DownloadInput, downloadInput } from './contract.ts'
import { checkedFolder, checkedName } from './file-name.ts'
import { whyBadHeader } from './header-rules.ts'
import { checkedTemplate, isTemplate } from './name-template.ts'

/**
 * Checks an input as far as that is possible without a worker. The value of a header may be `{ secret: 'name' }`. A message never has the address itself, which may hold a secret.
 *
 * @throws {FleetError} `BAD_INPUT`
 */
export function checkDownloadInput(input: DownloadInput): void {
  const wrong = whyBadInput(input)
  if (wrong !== undefined) throw new FleetError('BAD_INPUT', wrong)
}

/** The longest list, as for all lists of tasks. */
const MOST = 10_000

/** @throws {FleetError} `TOO_MANY_TASKS` */
export function requireFew(downloads: readonly unknown[]): void {
  if (downloads.length <= MOST) return
  throw new FleetError('TOO_MANY_TASKS', `At most ${MOST} downloads at once; these are ${downloads.length}`)
}

/** The same download, checked. @throws {FleetError} `BAD_INPUT` with its place */
export function checkListed<Listed extends { input: DownloadInput; where: string }>(listed: Listed): Listed {
  try {
    checkDownloadInput(listed.input)
    return listed
  } catch (error) {
    if (!(error instanceof FleetError)) throw error
    throw new FleetError('BAD_INPUT', `${listed.where}: ${error.message}`, { field: listed.where, cause: error })
  }
}

/** The input with another text in place of each header's secret, which only workers know. */
function withoutSecrets(input: DownloadInput): DownloadInput {
  if (input.headers === undefined) return input
  const known = Object.entries(input.headers).map(([name, value]) => [name, isSecret(value) ? 'secret' : value])
  return { ...input, headers: Object.fromEntries(known) as Record<string, string> }
}

const isSecret = (value: unknown): boolean =>
  typeof value === 'object' &&
  value !== null &&
  Object.keys(value).join() === 'secret' &&
  typeof (value as { secret: unknown }).secret === 'string'

function whyBadInput(asked: DownloadInput): string | undefined {
  const input = withoutSecrets(asked)
  const { url, mirrors = [], file, folder, checksum, headers = {}, after } = input
  for (const address of [url, ...mirrors, ...(after?.webhook === undefined ? [] : [after.webhook])]) {
    const wrong = whyBadAddress(address)
    if (wrong !== undefined) return wrong
  }
  if (checksum !== undefined && readChecksum(checksum) === undefined)
    return 'a checksum is sha-512:…, sha-256:…, sha-1:… or md5:…, in hex or base64'
  for (const [name, value] of Object.entries(headers)) {
    const wrong = whyBadHeader(name, value)
    if (wrong !== undefined) return `the header ${JSON.stringify(name.slice(0, 80))} ${wrong}`
  }
  try {
    if (file !== undefined) void (isTemplate(file) ? checkedTemplate(file) : checkedName(file))
    checkedFolder(folder)
  } catch (error) {
    return (error as Error).message
  }
  const [issue] = downloadInput.safeParse(input).error?.issues ?? []
  return issue === undefined ? undefined : `${issue.path.join('.')}: ${issue.message}`
}

/** Why an address can't be downloaded; undefined if it can. */
function whyBadAddress(address: string): string | undefined {
  const scheme = /^([a-z][a-z0-9+.-]*):/i.exec(address)?.[1]?.toLowerCase()
  if (scheme === undefined) return 'this is no address: it starts with https:// or http://'
  if (scheme !== 'http' && scheme !== 'https') return `${scheme}: addresses can't be downloaded, only https: and http:`
  return URL.canParse(address) ? undefined : 'this is no complete address'
}
