import { Fleet, KeyStore } from '@taskfleet/core'
import {
  arbiterWarning,
  ChangeFeed,
  FleetDatabase,
  type Hello,
  SCHEMA_VERSION,
  schemaVersion,
  WorkerRegister,
} from '@taskfleet/core/internal'
import { FleetError, VERSION } from '@taskfleet/protocol'
import { type Address, addressOf, databaseOf } from './address.ts'
import { checkDocuments } from './doctor-documents.ts'
import { checkGateway } from './doctor-gateway.ts'
import { ownSigner, secretText } from './doctor-secret.ts'
import { EXIT, exitCodeOf } from './exit.ts'
import { type CommonOptions, makeLog } from './options.ts'
import type { SecretOptions } from './secret.ts'
import { oneLine, printableJson, versionsText } from './text.ts'

interface Finding {
  check: string
  ok: boolean
  detail: string
}

/** Runs one check and keeps its result. @returns whether it passed */
export type Check = (name: string, look: () => Promise<string>) => Promise<boolean>

export interface DoctorCommand extends SecretOptions {
  repair?: boolean
}

/** `taskfleet doctor`: whether this computer can be part of the fleet, or use it through a gateway, and if not, why. */
export async function doctor(options: DoctorCommand, print: (line: string) => void): Promise<number> {
  const findings: Finding[] = []
  let code: number = EXIT.done
  const check: Check = async (name, look) => {
    const found = await look().then(
      (detail): Finding => ({ check: name, ok: true, detail }),
      (error: unknown): Finding => {
        if (code === EXIT.done) code = exitCodeOf(error)
        return { check: name, ok: false, detail: error instanceof Error ? error.message : String(error) }
      },
    )
    findings.push(found)
    return found.ok
  }
  const address = whichFleet(options)
  if (address !== undefined && 'server' in address && options.repair === true) {
    throw new FleetError('NEEDS_DATABASE', '--repair writes to the database: give --mongo instead of --server')
  }
  if (address !== undefined && 'server' in address) await checkGateway(address.server, options, check)
  else await checkDatabase(options, check)
  if (options.json === true) print(printableJson(findings))
  else
    for (const { check: name, ok, detail } of findings)
      print(`${ok ? 'ok  ' : 'FAIL'}  ${name.padEnd(14)} ${oneLine(detail)}`)
  return code
}

/** Without any address the check of the database reports what is missing. @throws {FleetError} `BAD_REQUEST`, `BAD_CONFIG` */
function whichFleet(options: CommonOptions): Address | undefined {
  try {
    return addressOf(options)
  } catch (error) {
    if (error instanceof FleetError && error.code === 'NO_ADDRESS') return undefined
    throw error
  }
}

async function checkDatabase(options: DoctorCommand, check: Check): Promise<void> {
  let database: FleetDatabase | undefined
  const connected = await check('connection', async () => {
    database = await FleetDatabase.connect(databaseOf(options))
    const { version } = (await database.db.admin().command({ buildInfo: 1 })) as { version?: string }
    return `MongoDB ${version ?? 'of unknown version'}, database '${database.name}'`
  })
  if (connected && database !== undefined) {
    const open = database
    await check('replica set', async () => {
      const hello = (await open.db.admin().command({ hello: 1 })) as Hello
      return [String(hello.setName), arbiterWarning(hello)].filter((part) => part !== undefined).join('; ')
    })
    await check('clock', async () => {
      const skew = Math.round(open.clock.now().getTime() - Date.now())
      return `the database is ${Math.abs(skew)} ms ${skew >= 0 ? 'ahead of' : 'behind'} this computer`
    })
    await check('schema', async () => {
      await open.requireSchema({ writes: false })
      return `version ${(await schemaVersion(open.db)) ?? 'none yet'}; this program needs ${SCHEMA_VERSION}`
    })
    await checkDocuments(new Fleet(open), check, options.repair === true)
    await check('change stream', async () => {
      const startedAt = performance.now()
      const feed = new ChangeFeed(open, { log: makeLog('error') })
      await feed.start()
      await feed.stop()
      return `opened in ${Math.round(performance.now() - startedAt)} ms`
    })
    await check('secret', async () => {
      const live = await new WorkerRegister(open.connection, open.clock).live()
      return secretText(live, await ownSigner(options, new KeyStore(open.db)))
    })
    await check('workers', async () => {
      const live = await new WorkerRegister(open.connection, open.clock).live()
      return `${live.length} live${versionsText(live)}; this is ${VERSION}`
    })
  }
  await database?.close()
}
