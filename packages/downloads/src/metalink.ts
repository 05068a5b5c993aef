import { checkDownloadInput, type DownloadInput, type ListedDownload } from '@taskfleet/download-contract'
import { firstSafeName, isTemplate, readChecksum } from '@taskfleet/download-contract/internal'
import { FleetError } from '@taskfleet/protocol'
import { z } from 'zod'

/** Strongest first. */
const STRENGTH = ['sha512', 'sha256', 'sha1', 'md5']
/** As many as an input may have. */
const MOST_MIRRORS = 50
/** Without a priority an address is the last one (RFC 5854, 4.2.16.1). */
const LAST_PRIORITY = 999_999
/** Of version 3, whose preference is the other way round: 100 is the best. */
const BEST_PREFERENCE = 100

const element = z.object({ '#text': z.string() })
const hash = element.extend({ '@type': z.string().optional() })
const address = element.extend({
  '@priority': z.string().optional(),
  '@preference': z.string().optional(),
  '@type': z.string().optional(),
})
const fileElement = z.object({
  '@name': z.string().optional(),
  size: z.array(element).optional(),
  hash: z.array(hash).optional(),
  url: z.array(address).optional(),
  verification: z.array(z.object({ hash: z.array(hash).optional() })).optional(),
  resources: z.array(z.object({ url: z.array(address).optional() })).optional(),
})
const files = z.array(fileElement).optional()
const document = z.object({
  metalink: z
    .array(z.object({ file: files, files: z.array(z.object({ file: files })).optional() }))
    .min(1)
    .max(1),
})

type FileElement = z.infer<typeof fileElement>

/**
 * Reads a Metalink document: version 4 (RFC 5854), or version 3. Each `file` becomes a download: its best http: or https: address, the others as
 * `mirrors`, its `size`, its strongest hash as `checksum`, and its name as `file` and `folder`. Signatures, pieces and torrents are ignored.
 *
 * @param name the document's name, for messages
 * @param below the folder that the names are below; the worker's root by default
 * @throws {FleetError} `BAD_INPUT` with the document's name and the number of the first bad file
 */
export async function readMetalink(text: string, name: string, below?: string): Promise<ListedDownload[]> {
  const found = (await filesOf(text, name)).map((file, index) => ({ file, where: `${name}: file ${index + 1}` }))
  return found.map(({ file, where }) => {
    try {
      const input = downloadOf(file, below)
      checkDownloadInput(input)
      return { input, where }
    } catch (error) {
      if (!(error instanceof FleetError)) throw error
      throw new FleetError('BAD_INPUT', `${where}: ${error.message}`, { field: where, cause: error })
    }
  })
}

async function filesOf(text: string, name: string): Promise<FileElement[]> {
  const bad = (what: string, cause?: unknown) =>
    new FleetError('BAD_INPUT', `${name} ${what}`, { field: name, ...(cause !== undefined && { cause }) })
  // A document type can define entities that grow without limit or name files. Metalink has none.
  if (/<!(doctype|entity)/i.test(text)) throw bad('has a document type or an entity, which Metalink does not need')
  const { XMLParser } = await import('fast-xml-parser')
  const parser = new XMLParser({
    ignoreAttributes: false,
    attributeNamePrefix: '@',
    parseTagValue: false,
    removeNSPrefix: true,
    alwaysCreateTextNode: true,
    isArray: (_name, _path, _leaf, isAttribute) => !isAttribute,
    // Only what XML itself defines and numbers are left, and these get shorter.
    htmlEntities: true,
    processEntities: { enabled: true, maxExpandedLength: text.length + 1 },
  })
  let parsed: unknown
  try {
    parsed = parser.parse(text.replace(/^\ufeff/, ''), true)
  } catch (error) {
    throw bad('is no well-formed XML', error)
  }
  const { data } = document.safeParse(parsed)
  const [root] = data?.metalink ?? []
  if (root === undefined) throw bad('is no Metalink document: its first element is not metalink')
  return [...(root.file ?? []), ...(root.files ?? []).flatMap(({ file }) => file ?? [])]
}

/** @throws {FleetError} `BAD_INPUT` */
function downloadOf(file: FileElement, below: string | undefined): DownloadInput {
  const [url, ...mirrors] = addressesOf(file)
  if (url === undefined) throw new FleetError('BAD_INPUT', 'this file has no http: or https: address')
  const checksum = checksumOf(file)
  const size = sizeOf(file)
  return {
    url,
    ...(mirrors.length > 0 && { mirrors: mirrors.slice(0, MOST_MIRRORS) }),
    ...placeOf(file['@name'] ?? '', below),
    ...(size !== undefined && { size }),
    ...(checksum !== undefined && { checksum }),
  }
}

/** The addresses that can be downloaded, the best one first; equal ones stay in the document's order. */
function addressesOf({ url = [], resources = [] }: FileElement): string[] {
  const all = [...url, ...resources.flatMap((one) => one.url ?? [])]
    .map((one) => ({ address: one['#text'], type: one['@type'], rank: rankOf(one) }))
    // In version 3 a torrent is an address with a type.
    .filter(({ address, type = 'https' }) => /^https?:/i.test(address) && /^https?$/i.test(type))
    .sort((one, other) => one.rank - other.rank)
  return [...new Set(all.map(({ address }) => address))]
}

function rankOf({ '@priority': priority, '@preference': preference }: z.infer<typeof address>): number {
  if (priority !== undefined && /^\d{1,6}$/.test(priority)) return Number(priority)
  if (preference !== undefined && /^\d{1,3}$/.test(preference)) return BEST_PREFERENCE - Number(preference)
  return LAST_PRIORITY
}

/** @throws {FleetError} `BAD_INPUT` for a size that is no number of bytes */
function sizeOf({ size: [size] = [] }: FileElement): number | undefined {
  if (size === undefined) return undefined
  const bytes = /^\d{1,16}$/.test(size['#text']) ? Number(size['#text']) : Number.NaN
  if (Number.isSafeInteger(bytes)) return bytes
  throw new FleetError('BAD_INPUT', "this file's size is no number of bytes")
}

/** @throws {FleetError} `BAD_INPUT` for a hash of a known type that is none: a file would go unchecked */
function checksumOf({ hash: own = [], verification = [] }: FileElement): string | undefined {
  const hashes = [...own, ...verification.flatMap((one) => one.hash ?? [])].map((one) => {
    const type = (one['@type'] ?? '').toLowerCase()
    return { type: type.replace('-', ''), text: `${type}:${one['#text']}` }
  })
  const best = STRENGTH.map((name) => hashes.find(({ type }) => type === name)).find((one) => one !== undefined)
  if (best === undefined) return undefined
  const [algorithm, hex] = readChecksum(best.text) ?? []
  if (algorithm === undefined) throw new FleetError('BAD_INPUT', `this file's ${best.type} is no checksum of that type`)
  return `${algorithm.replace('sha', 'sha-')}:${hex}`
}

/**
 * A file's name may have folders, but never leads out of the root (RFC 5854, 4.1.2.1). Its parts are made safe like names of servers.
 *
 * @throws {FleetError} `BAD_INPUT`
 */
function placeOf(name: string, below = ''): { file: string; folder?: string } {
  const shown = JSON.stringify(name.slice(0, 80))
  const parts = name.split(/[/\\]/)
  if (name === '') throw new FleetError('BAD_INPUT', 'this file has no name')
  if (/^([/\\]|[a-z]:)/i.test(name)) throw new FleetError('BAD_INPUT', `its name ${shown} is absolute`)
  if (parts.some((part) => part === '' || part === '.' || part === '..'))
    throw new FleetError('BAD_INPUT', `its name ${shown} has '..', '.' or an empty part in it`)
  if (isTemplate(name))
    throw new FleetError('BAD_INPUT', `its name ${shown} has a word in braces, which is a field here`)
  const safe = parts.map((part) => firstSafeName([part]))
  const file = safe.pop()!
  const folder = [below.replace(/\/$/, ''), ...safe].filter((part) => part !== '').join('/')
  return { file, ...(folder !== '' && { folder }) }
}
