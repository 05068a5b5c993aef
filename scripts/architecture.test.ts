import { existsSync, readdirSync, readFileSync, realpathSync } from 'node:fs'
import { dirname, join, relative, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import ts from 'typescript'
import { describe, expect, test } from 'vitest'

const root = resolve(dirname(fileURLToPath(import.meta.url)), '..')

interface Room {
  /** Which of the fleet's own packages its sources may import. Sources that are tests, or parts of them, may import any. */
  imports: RegExp
  /** Libraries that it must do without. */
  without?: RegExp
}

const SERVERS = String.raw`mongoose|mongodb|mongodb-memory-server-core|fastify|@fastify/.*|socket\.io|commander`

/** The direction of the whole: `protocol ← client ← react ← monitor-ui` and `protocol ← core ← gateway ← worker ← cli ← examples`. */
const ROOMS: Record<string, Room> = {
  'packages/protocol': { imports: /^$/, without: new RegExp(`^(${SERVERS}|socket\\.io-client|react|node:.*)$`) },
  'packages/client': {
    imports: /^@taskfleet\/protocol(\/internal)?$/,
    without: new RegExp(`^(${SERVERS}|react|node:.*)$`),
  },
  'packages/react': { imports: /^@taskfleet\/(protocol|client)$/, without: new RegExp(`^(${SERVERS}|node:.*)$`) },
  'packages/monitor-ui': {
    imports: /^@taskfleet\/(protocol|client|react(\/internal)?|download-contract)$/,
    without: new RegExp(`^(${SERVERS}|node:.*)$`),
  },
  // It imports the client for nothing but the entry `@taskfleet/core/client`.
  'packages/core': {
    imports: /^@taskfleet\/(protocol|protocol\/internal|client)$/,
    without: /^(mongodb-memory-server-core|fastify|@fastify\/.*|socket\.io|socket\.io-client|commander|react)$/,
  },
  'packages/dev-mongo': {
    imports: /^@taskfleet\/protocol(\/internal)?$/,
    without: /^(mongoose|fastify|socket\.io|react)$/,
  },
  'packages/gateway': {
    imports: /^@taskfleet\/(protocol|core)(\/internal)?$|^@taskfleet\/monitor-ui\/package\.json$/,
    without: /^(commander|react)$/,
  },
  'packages/worker': {
    imports: /^@taskfleet\/((protocol|core|gateway)(\/internal)?|gateway\/host)$/,
    // The client of a feeder's socket is loaded only where there is a feeder.
    without: /^(mongoose|fastify|@fastify\/.*|socket\.io|commander|react)$/,
  },
  // Also for browsers.
  'packages/download-contract': {
    imports: /^@taskfleet\/protocol$/,
    without: new RegExp(`^(${SERVERS}|socket\\.io-client|react|node:.*)$`),
  },
  'packages/downloads': {
    // Of the gateway it needs the types of a route.
    imports: /^@taskfleet\/(protocol|(core|gateway|download-contract)(\/internal)?|worker)$/,
    without: new RegExp(`^(${SERVERS}|react)$`),
  },
  'packages/cli': {
    imports:
      /^@taskfleet\/((protocol|client|core|gateway|worker)(\/internal)?|gateway\/host|downloads\/(contract|lists|rest))$/,
    without: /^(mongoose|fastify|@fastify\/.*|socket\.io|react)$/,
  },
  'examples/downloads': {
    imports:
      /^@taskfleet\/(protocol|client|core|core\/internal|dev-mongo|downloads(\/file-server)?|gateway\/internal|worker)$|^taskfleet\/main$/,
  },
  'examples/events': { imports: /^@taskfleet\/(protocol|client|core|dev-mongo|worker)$/ },
  'examples/page': { imports: /^@taskfleet\/(client|react|react\/styles\.css)$/ },
}

const PACKAGES = Object.keys(ROOMS).filter((room) => room.startsWith('packages/'))

/** What is tested with, and what is never built. */
const TEST_PART = /\.test\.tsx?$|(^|\/)(testing|e2e|kit)\/|(^|\/)test-[\w-]+\.ts$|(^|\/)(fake-context|demo)\.tsx?$/

function sources(folder: string): string[] {
  return readdirSync(join(root, folder, 'src'), { recursive: true, encoding: 'utf8' })
    .filter((file) => /\.(ts|tsx|js)$/.test(file) && !TEST_PART.test(file))
    .map((file) => join(root, folder, 'src', file))
}

interface Import {
  specifier: string
  /** Gone when the program runs. */
  typeOnly: boolean
}

function imports(file: string): Import[] {
  const text = readFileSync(file, 'utf8')
  const parsed = ts.createSourceFile(
    file,
    text,
    ts.ScriptTarget.ES2023,
    true,
    file.endsWith('x') ? ts.ScriptKind.TSX : ts.ScriptKind.TS,
  )
  const found: Import[] = []
  const visit = (node: ts.Node): void => {
    if ((ts.isImportDeclaration(node) || ts.isExportDeclaration(node)) && node.moduleSpecifier !== undefined) {
      const clause = ts.isImportDeclaration(node) ? node.importClause : node
      const named = ts.isImportDeclaration(node) ? node.importClause?.namedBindings : node.exportClause
      const allTypes =
        named !== undefined &&
        (ts.isNamedImports(named) || ts.isNamedExports(named)) &&
        named.elements.every(({ isTypeOnly }) => isTypeOnly) &&
        !(ts.isImportDeclaration(node) && node.importClause?.name)
      const { text: specifier } = node.moduleSpecifier as ts.StringLiteral
      found.push({ specifier, typeOnly: (clause?.isTypeOnly ?? false) || allTypes })
    }
    if (
      ts.isCallExpression(node) &&
      (node.expression.kind === ts.SyntaxKind.ImportKeyword || node.expression.getText() === 'import.meta.resolve')
    ) {
      const [asked] = node.arguments
      if (asked !== undefined && ts.isStringLiteral(asked)) found.push({ specifier: asked.text, typeOnly: false })
    }
    ts.forEachChild(node, visit)
  }
  visit(parsed)
  return found
}

describe.each(Object.entries(ROOMS))('%s', (folder, { imports: mayImport, without }) => {
  test('imports only what lies in its direction', () => {
    const wrong = sources(folder).flatMap((file) =>
      imports(file)
        .filter(
          ({ specifier }) =>
            (/^(@taskfleet\/|taskfleet(\/|$))/.test(specifier) && !mayImport.test(specifier)) ||
            without?.test(specifier),
        )
        .map(({ specifier }) => `${relative(root, file)} imports ${specifier}`),
    )
    expect(wrong).toEqual([])
  })

  test('declares what it imports', () => {
    const {
      dependencies = {},
      peerDependencies = {},
      devDependencies = {},
    } = JSON.parse(readFileSync(join(root, folder, 'package.json'), 'utf8')) as Record<string, Record<string, string>>
    // A page is bundled with all it needs; types are needed by those who read them.
    const declared = { ...dependencies, ...peerDependencies, ...(folder.endsWith('-ui') ? devDependencies : {}) }
    const own = folder.startsWith('packages/') ? sources(folder) : []
    const missing = own.flatMap((file) =>
      imports(file)
        .filter(({ specifier }) => !/^(\.|node:|virtual:)/.test(specifier))
        .map(({ specifier }) => /^(@[^/]+\/)?[^/]+/.exec(specifier)![0])
        // The command's own bin is kept by the worker's package, see its main.ts.
        .filter((name) => !(name in declared))
        .map((name) => `${relative(root, file)} imports ${name}`),
    )
    expect(missing).toEqual([])
  })
})

test('no module imports itself through others, types aside', () => {
  const graph = new Map(
    Object.keys(ROOMS)
      .flatMap(sources)
      .map((file) => [
        file,
        imports(file)
          .filter(({ specifier, typeOnly }) => specifier.startsWith('.') && !typeOnly)
          .map(({ specifier }) => resolve(dirname(file), specifier)),
      ]),
  )
  const done = new Set<string>()
  const circles: string[] = []
  const visit = (file: string, path: readonly string[]): void => {
    if (path.includes(file)) {
      circles.push([...path.slice(path.indexOf(file)), file].map((one) => relative(root, one)).join(' → '))
      return
    }
    if (done.has(file)) return
    for (const next of graph.get(file) ?? []) visit(next, [...path, file])
    done.add(file)
  }
  for (const file of graph.keys()) visit(file, [])
  expect(circles).toEqual([])
})

test('only tests import what is made for tests', () => {
  const wrong = Object.keys(ROOMS)
    .flatMap(sources)
    .flatMap((file) =>
      imports(file)
        .filter(({ specifier }) => /^@taskfleet\/(testkit|core\/testing)/.test(specifier) || TEST_PART.test(specifier))
        .map(({ specifier }) => `${relative(root, file)} imports ${specifier}`),
    )
    // The entry `@taskfleet/worker/testing` is for users' own tests.
    .filter((line) => !line.includes('/kit/'))
  expect(wrong).toEqual([])
})

test('what is shipped has no test rooms and no fault points', () => {
  const shipped = PACKAGES.filter((folder) => existsSync(join(root, folder, 'dist'))).flatMap((folder) =>
    readdirSync(join(root, folder, 'dist'), { recursive: true, encoding: 'utf8' })
      .filter((file) => /\.(js|ts)$/.test(file))
      .filter((file) => existsSync(join(root, folder, 'src', file.replace(/(\.d)?\.(js|ts)$/, '.ts'))))
      // What an earlier build left behind is nobody's.
      .map((file) => join(folder, 'dist', file)),
  )
  expect(shipped.filter((file) => /\/(testing|faults|e2e)\/|\.test\./.test(file))).toEqual([])
  expect(shipped.filter((file) => readFileSync(join(root, file), 'utf8').includes('faultPoint'))).toEqual([])
})

/** What packages export under their entries, with types marked. Shapes of a `*` that another package owns are left to that one. */
function exportsOf(entries: Record<string, string>): Record<string, string[]> {
  const options: ts.CompilerOptions = {
    module: ts.ModuleKind.NodeNext,
    moduleResolution: ts.ModuleResolutionKind.NodeNext,
    customConditions: ['taskfleet-source'],
    allowImportingTsExtensions: true,
    noEmit: true,
    jsx: ts.JsxEmit.ReactJSX,
    types: [],
    noLib: true,
    skipLibCheck: true,
  }
  const host = ts.createCompilerHost(options)
  // What is exported is known without the packages of others, and most of the time would go into reading them.
  host.resolveModuleNameLiterals = (literals, from) =>
    literals.map(({ text }) =>
      /^(\.|@?taskfleet)/.test(text)
        ? ts.resolveModuleName(text, from, options, host, undefined, undefined, ts.ModuleKind.ESNext)
        : { resolvedModule: undefined },
    )
  // One program for all: they share most files.
  const program = ts.createProgram(Object.values(entries), options, host)
  const checker = program.getTypeChecker()
  const namesOf = (entry: string): string[] =>
    checker
      .getExportsOfModule(checker.getSymbolAtLocation(program.getSourceFile(entry)!)!)
      .map((one) => {
        const real = one.flags & ts.SymbolFlags.Alias ? checker.getAliasedSymbol(one) : one
        return `${real.flags & ts.SymbolFlags.Value ? '' : 'type '}${one.name}`
      })
      .sort()
  return Object.fromEntries(Object.entries(entries).map(([name, entry]) => [name, namesOf(entry)]))
}

test('the public surface of each package is what it was', () => {
  const entries = PACKAGES.flatMap((folder) => {
    const { name, exports = {} } = JSON.parse(readFileSync(join(root, folder, 'package.json'), 'utf8')) as {
      name: string
      exports?: Record<string, { 'taskfleet-source'?: string }>
    }
    return Object.entries(exports)
      .filter(([entry, target]) => entry !== './internal' && target['taskfleet-source'] !== undefined)
      .map(([entry, target]) => [`${name}${entry.slice(1)}`, join(root, folder, target['taskfleet-source']!)] as const)
  })
  expect(exportsOf(Object.fromEntries(entries))).toMatchSnapshot()
}, 120_000)

/** Every package that comes with one, as its lockfile's neighbours are linked: dependencies and theirs, without development. */
function installedWith(folder: string, seen = new Set<string>()): Set<string> {
  const { name, dependencies = {} } = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8')) as {
    name: string
    dependencies?: Record<string, string>
  }
  seen.add(name)
  for (const dependency of Object.keys(dependencies)) {
    if (seen.has(dependency)) continue
    // pnpm links what a package needs beside it, or into its own node_modules.
    const places = [
      join(folder, 'node_modules', dependency),
      join(folder, ...name.split('/').map(() => '..'), dependency),
    ]
    const found = places.find((place) => existsSync(join(place, 'package.json')))
    if (found === undefined) throw new Error(`${name} needs ${dependency}, which is not installed`)
    installedWith(realpathSync(found), seen)
  }
  return seen
}

test.each(['client', 'react'])('%s installs few packages, no database driver and no server', (name) => {
  const installed = [...installedWith(join(root, 'packages', name))]
  expect(installed).toContain('socket.io-client')
  expect(installed.filter((one) => new RegExp(`^(${SERVERS}|pino|mongodb.*)$`).test(one))).toEqual([])
  expect(installed.length, installed.join(' ')).toBeLessThanOrEqual(15)
})

test('the files that docs/architecture.md walks through are there', () => {
  const page = readFileSync(join(root, 'docs/architecture.md'), 'utf8')
  const named = [...page.matchAll(/`((?:packages|scripts|examples)\/[\w./-]+\.(?:ts|tsx|js|py))`/g)].map(
    ([, file]) => file!,
  )
  expect(named.length).toBeGreaterThan(15)
  expect(named.filter((file) => !existsSync(join(root, file)))).toEqual([])
})

const KNOW_THE_PROCESS = [
  // Isolates inherit the environment, without what opens the fleet.
  'packages/worker/src/isolate/handler-env.ts',
  // It ends the processes of handlers when its own ends, which nothing else may do for it.
  'packages/worker/src/isolate/process-pool.ts',
]

test('only the command line and what starts or runs in a process of its own know the process', () => {
  const knows = ['packages/gateway', 'packages/worker']
    .flatMap(sources)
    .filter(
      (file) =>
        !/\/isolate\/\w+-main\.js$/.test(file) &&
        /\bprocess\.(exit|argv|env|on|once)\b/.test(readFileSync(file, 'utf8')),
    )
    .map((file) => relative(root, file))
  expect(knows).toEqual(KNOW_THE_PROCESS)
})
