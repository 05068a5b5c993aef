import { fileURLToPath } from 'node:url'
import ts from 'typescript'

/** The part of JSON Schema that `docs/asyncapi.yaml` is written in. */
export interface Schema {
  $ref?: string
  type?: string
  const?: unknown
  enum?: unknown[]
  required?: string[]
  properties?: Record<string, Schema>
  additionalProperties?: boolean | Schema
  items?: Schema
  minItems?: number
  allOf?: Schema[]
  oneOf?: Schema[]
  anyOf?: Schema[]
}

/** The types of `packages/protocol/src/protocol.ts`, as the compiler understands them, beside schemas. */
export class WireTypes {
  readonly #checker: ts.TypeChecker
  readonly #exported: ReadonlyMap<string, ts.Symbol>
  readonly #schemas: Record<string, Schema>

  /** @param schemas what `#/components/schemas/…` refers to */
  constructor(schemas: Record<string, Schema>) {
    const file = fileURLToPath(new URL('../packages/protocol/src/protocol.ts', import.meta.url))
    const program = ts.createProgram([file], {
      strict: true,
      exactOptionalPropertyTypes: true,
      noEmit: true,
      skipLibCheck: true,
      allowImportingTsExtensions: true,
      module: ts.ModuleKind.ESNext,
      moduleResolution: ts.ModuleResolutionKind.Bundler,
      target: ts.ScriptTarget.ES2022,
      lib: ['lib.es2023.d.ts', 'lib.dom.d.ts'],
      types: [],
    })
    this.#checker = program.getTypeChecker()
    const module = this.#checker.getSymbolAtLocation(program.getSourceFile(file)!)!
    this.#exported = new Map(this.#checker.getExportsOfModule(module).map((symbol) => [symbol.name, symbol]))
    this.#schemas = schemas
  }

  /** A type or interface, or undefined where none of this name is exported. */
  named(name: string): ts.Type | undefined {
    const symbol = this.#exported.get(name)
    return symbol && symbol.flags & ts.SymbolFlags.Type ? this.#checker.getDeclaredTypeOfSymbol(symbol) : undefined
  }

  /** The messages of an interface such as `ClientToGateway`, with their bodies and answers. */
  messages(name: string): Map<string, { body: ts.Type; answer: { done: ts.Type; refused: ts.Type } | undefined }> {
    const events = this.#checker.getPropertiesOfType(this.named(name)!)
    return new Map(
      events.map((event) => {
        const [body, acked] = this.#parameters(this.#checker.getTypeOfSymbol(event))
        const [answer] = acked === undefined ? [] : this.#parameters(acked)
        const outcomes = answer?.isUnion() ? answer.types : []
        const done = outcomes.find((one) => this.#isDone(one))
        const refused = outcomes.find((one) => !this.#isDone(one))
        const both = done === undefined || refused === undefined ? undefined : { done, refused }
        return [event.name, { body: body!, answer: both }]
      }),
    )
  }

  /** The differences between a schema and a type: names and presence of fields, kinds of values, lists of words. */
  differences(type: ts.Type, schema: Schema, at: string): string[] {
    const wanted = this.resolve(schema)
    const members = this.#members(type)
    const [first] = members
    if (first === undefined || members.some(({ flags }) => flags & (ts.TypeFlags.Any | ts.TypeFlags.Unknown))) return []
    const [ours, theirs] = [new Set(members.map((one) => this.#kind(one))), this.#kindsOf(wanted)]
    if (ours.size !== theirs.size || [...ours].some((kind) => !theirs.has(kind))) {
      return [`${at} is ${[...ours].join(' or ')} in the code, ${[...theirs].join(' or ')} in the document`]
    }
    if (members.every((one) => one.isStringLiteral())) {
      const words = members.map(({ value }) => value)
      return compareSets(`${at}, its words`, words, wanted.enum ?? [wanted.const])
    }
    // Of several kinds, each may be described in its own way.
    if (ours.size > 1) return []
    if (ours.has('array')) {
      const [item] = this.#checker.getTypeArguments(first as ts.TypeReference)
      return this.differences(item!, wanted.items ?? {}, `${at}[]`)
    }
    return ours.has('object') ? this.#fieldDifferences(members, wanted, at) : []
  }

  /** A schema merged with the schemas that it refers to. */
  resolve(schema: Schema): Schema {
    const { $ref, allOf = [], ...own } = schema
    const parts = [...($ref === undefined ? [] : [this.#schemas[$ref.split('/').at(-1)!]!]), ...allOf]
    const whole: Schema = {}
    for (const part of [...parts.map((one) => this.resolve(one)), own]) {
      const { properties, required } = whole
      Object.assign(whole, part)
      if (properties !== undefined) whole.properties = { ...properties, ...part.properties }
      if (required !== undefined) whole.required = [...required, ...(part.required ?? [])]
    }
    return whole
  }

  #fieldDifferences(members: ts.Type[], schema: Schema, at: string): string[] {
    const fields = new Map(members.flatMap((one) => one.getProperties().map((field) => [field.name, field])))
    const always = [...fields.keys()].filter((name) =>
      members.every((one) => !((one.getProperty(name)?.flags ?? ts.SymbolFlags.Optional) & ts.SymbolFlags.Optional)),
    )
    const index = this.#checker.getIndexInfoOfType(members[0]!, ts.IndexKind.String)
    const rest = typeof schema.additionalProperties === 'object' ? schema.additionalProperties : undefined
    return [
      ...(index === undefined
        ? compareSets(`${at}, its fields`, [...fields.keys()], Object.keys(schema.properties ?? {}))
        : this.differences(index.type, rest ?? {}, `${at}.*`)),
      ...compareSets(`${at}, what it always has`, always, schema.required ?? []),
      ...[...fields].flatMap(([name, field]) => {
        const described = schema.properties?.[name]
        if (described === undefined) return []
        return this.differences(this.#checker.getTypeOfSymbol(field), described, `${at}.${name}`)
      }),
    ]
  }

  #isDone(outcome: ts.Type): boolean {
    const ok = outcome.getProperty('ok')
    return ok !== undefined && this.#checker.typeToString(this.#checker.getTypeOfSymbol(ok)) === 'true'
  }

  #parameters(type: ts.Type): ts.Type[] {
    const [signature] = type.getCallSignatures()
    return signature?.parameters.map((one) => this.#checker.getTypeOfSymbol(one)) ?? []
  }

  /** The alternatives of a type, without what does not travel. */
  #members(type: ts.Type): ts.Type[] {
    const bound = type.isTypeParameter() ? this.#checker.getBaseConstraintOfType(type)! : type
    const all = bound.isUnion() ? bound.types : [bound]
    return all.filter((one) => !(one.flags & ts.TypeFlags.Undefined) && one.symbol?.name !== 'Date')
  }

  #kind(type: ts.Type): string {
    if (type.flags & ts.TypeFlags.StringLike) return 'string'
    if (type.flags & ts.TypeFlags.NumberLike) return 'number'
    if (type.flags & ts.TypeFlags.BooleanLike) return 'boolean'
    if (type.flags & ts.TypeFlags.Null) return 'null'
    return this.#checker.isArrayType(type) ? 'array' : 'object'
  }

  #kindsOf(schema: Schema): Set<string> {
    const one = this.resolve(schema)
    if (one.type !== undefined) return new Set([one.type === 'integer' ? 'number' : one.type])
    if ('const' in one) return new Set([typeof one.const])
    return new Set([...(one.oneOf ?? one.anyOf ?? [])].flatMap((part) => [...this.#kindsOf(part)]))
  }
}

function compareSets(what: string, ours: readonly unknown[], theirs: readonly unknown[]): string[] {
  const missing = ours.filter((one) => !theirs.includes(one))
  const unknown = theirs.filter((one) => !ours.includes(one))
  return [
    ...(missing.length > 0 ? [`${what}: the document lacks ${missing.join(', ')}`] : []),
    ...(unknown.length > 0 ? [`${what}: the code lacks ${unknown.join(', ')}`] : []),
  ]
}
