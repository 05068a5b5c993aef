import { parsePriority, parseQueue } from '@taskfleet/core/internal'
import type { DownloadInput } from '@taskfleet/downloads/contract'
import type { ListedDownload, StoredDownload } from '@taskfleet/downloads/lists'
import { FleetError } from '@taskfleet/protocol'
import { given } from '@taskfleet/protocol/internal'
import { Option } from 'commander'
import { EXIT } from './exit.ts'
import type { CommandKit, Print } from './kit.ts'
import { type CommonOptions, parsePriorityText, parseSize, readText } from './options.ts'
import { printable, printableJson } from './text.ts'
import { watchIds } from './watch.ts'
import { withFleet } from './with-fleet.ts'

interface DownloadCommand extends CommonOptions {
  inputFile?: string
  metalink?: string
  out?: string
  folder?: string
  expect?: 'skip' | 'rename' | 'overwrite'
  checksum?: string
  checksumFile?: boolean
  header?: string[]
  secretHeader?: string[]
  proxy?: string
  maxBytes?: number
  queue: string
  priority?: number | string
  again?: boolean
  watch?: boolean
}

/** The largest list, in bytes. */
const LIST_LIMIT = 8 * 2 ** 20

export function downloadCommand({ json, act, print }: CommandKit): void {
  json('download', 'download files by their addresses: a task for each, which prints its id')
    .argument('[urls...]', 'http: and https: addresses')
    .option('-i, --input-file <file>', 'a list with an address in each line and options as in aria2; - for stdin')
    .option('--metalink <file>', 'a Metalink document: each file of it, with its mirrors and checksum; - for stdin')
    .option('-o, --out <name>', "the file's name, for one address; with {name}, {ext}, {host}, {date} and {id}")
    .option('--folder <folder>', "a folder below the worker's folder, such as films/2026; made if it is missing")
    .addOption(
      new Option('--expect <choice>', 'what to do with a file that is there; without it, the task fails').choices([
        'skip',
        'rename',
        'overwrite',
      ]),
    )
    .option('--checksum <checksum>', 'what the file must have, for one address: sha-256:…, sha-512:…, sha-1:… or md5:…')
    .option('--checksum-file', 'write FILE.sha256 beside each file, for sha256sum -c')
    .option('--header <header>', "a header, such as 'Referer: https://a.example/'; may be repeated", repeated)
    .option(
      '--secret-header <header>',
      "a header whose value is a secret of the workers, as 'Authorization: NAME'; may be repeated",
      repeated,
    )
    .option('--proxy <url>', "an http: or https: proxy instead of the worker's, or direct")
    .option('--max-bytes <size>', 'fail above this size, such as 500000, 700M or 4G', parseSize)
    .option('--queue <name>', 'the queue of the tasks', 'default')
    .option('--priority <1-10|low|medium|high>', 'the priority of the tasks', parsePriorityText, 'medium')
    .option('--again', 'also download what is stored already, waiting, running or completed')
    .option('--watch', 'follow the downloads until all have ended; exits with 1 unless all completed')
    .addHelpText('after', NOTES)
    .action(act((urls: string[], options: DownloadCommand) => download(urls, options, print)))
}

const NOTES = `
A queue has one task for each address and destination (--out and --folder): what waits, runs or has completed is not stored again, so the same
list can be given twice. Failed and cancelled downloads are stored anew.`

const repeated = (text: string, before: string[] = []): string[] => [...before, text]

async function download(urls: readonly string[], options: DownloadCommand, print: Print): Promise<number> {
  const downloads = await listed(urls, options)
  const { queue, priority = 'medium', again = false } = options
  const wish = { queue: parseQueue(queue), priority: parsePriority(priority), again }
  const { enqueueDownloads } = await import('@taskfleet/downloads/lists')
  return withFleet(options, async (fleet, view) => {
    const stored = await enqueueDownloads(fleet, view, downloads, wish)
    report(stored, options, print)
    if (options.watch !== true) return EXIT.done
    const shown = { print, json: options.json === true, terminal: process.stdout.isTTY === true }
    return watchIds(
      view,
      stored.flatMap(({ id }) => id ?? []),
      shown,
    )
  })
}

/** Everything that is to be downloaded, checked. @throws {FleetError} `BAD_REQUEST`, `BAD_INPUT`, `TOO_MANY_TASKS` */
async function listed(urls: readonly string[], options: DownloadCommand): Promise<ListedDownload[]> {
  const { out, folder, expect, checksum, checksumFile, header = [], secretHeader = [], proxy, maxBytes } = options
  const after = checksumFile === true ? { checksumFile } : undefined
  const { addHeader, checkListed, requireFew } = await import('@taskfleet/downloads/lists')
  const downloads = urls.map((url, index) => ({ input: { url }, where: `address ${index + 1}` }) as ListedDownload)
  downloads.push(...(await readLists(options)))
  if (downloads.length === 0)
    throw new FleetError('BAD_REQUEST', 'Give at least one address, a list by -i, or a document by --metalink')
  requireFew(downloads)
  for (const [flag, value] of Object.entries({ '--out': out, '--checksum': checksum })) {
    if (value !== undefined && downloads.length > 1)
      throw new FleetError('BAD_REQUEST', `'${flag}' is for one address, and ${downloads.length} are given`)
  }
  const common: DownloadInput = { url: '' }
  for (const one of header) addHeader(common, one)
  const named: DownloadInput = { url: '' }
  for (const one of secretHeader) addHeader(named, one)
  for (const [name, secret] of Object.entries(named.headers ?? {})) {
    // Workers put the value in its place.
    common.headers = { ...common.headers, [name]: { secret } as unknown as string }
  }
  const { headers } = common
  return downloads.map(({ input: own, where }) => {
    const input: DownloadInput = {
      ...given({ file: out, folder, expect, checksum, proxy, maxBytes, after }),
      ...own,
      ...given({ headers: headers === undefined ? own.headers : { ...headers, ...own.headers } }),
    }
    return checkListed({ input, where })
  })
}

/** @throws {FleetError} `BAD_REQUEST` when two options take stdin; `BAD_INPUT` */
async function readLists({ inputFile, metalink, key, folder }: DownloadCommand): Promise<ListedDownload[]> {
  if ([inputFile, metalink, key].filter((one) => one === '-').length > 1)
    throw new FleetError('BAD_REQUEST', 'stdin is taken already: only one of -i, --metalink and --key can be -')
  const { readAddressList, readMetalink } = await import('@taskfleet/downloads/lists')
  const read = async (file: string) => {
    const name = file === '-' ? 'stdin' : file
    return [await readText(file, name, LIST_LIMIT), name] as const
  }
  return [
    ...(inputFile === undefined ? [] : readAddressList(...(await read(inputFile)))),
    ...(metalink === undefined ? [] : await readMetalink(...(await read(metalink)), folder)),
  ]
}

function report(stored: readonly StoredDownload[], { json, again }: DownloadCommand, print: Print): void {
  if (json === true) {
    print(printableJson({ downloads: stored }))
    return
  }
  const note = ({ fresh, status }: StoredDownload): string => (fresh ? '' : `  (there already: ${status ?? 'open'})`)
  for (const one of stored) print(`${one.id ?? '-'.repeat(24)}  ${printable(one.title)}${note(one)}`)
  const there = stored.filter(({ fresh }) => !fresh).length
  if (there > 0 && again !== true) {
    process.stderr.write(`taskfleet: ${there} of ${stored.length} were there already; --again downloads them again\n`)
  }
  if (stored.some(({ served }) => served === false)) {
    process.stderr.write("taskfleet: no live worker serves 'download' in this queue yet; the tasks wait\n")
  }
}
