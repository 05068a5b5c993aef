import swagger from '@fastify/swagger'
import { VERSION } from '@taskfleet/protocol'
import type { FastifyInstance } from 'fastify'
import { jsonSchemaTransform, jsonSchemaTransformObject } from 'fastify-type-provider-zod'
import { OPTIONAL_BODY } from './route.ts'

const DESCRIPTION = `Errors are \`application/problem+json\` with a stable \`code\`. A key goes into \`Authorization: Bearer tf_…\` and
nowhere else; while the fleet has none, this computer may do everything. Every answer has the rest of the rate limit.`

/** Collects the routes that are registered after it, for the document that describes them. */
export async function describeRoutes(app: FastifyInstance, server = '/'): Promise<void> {
  await app.register(swagger, {
    openapi: {
      openapi: '3.1.0',
      info: {
        title: 'Taskfleet',
        version: VERSION,
        description: DESCRIPTION,
        license: { name: 'MIT', identifier: 'MIT' },
      },
      servers: [{ url: server }],
      tags: TAGS,
      components: { securitySchemes: { key: { type: 'http', scheme: 'bearer', bearerFormat: 'tf_<id>_<secret>' } } },
    },
    transform: jsonSchemaTransform,
    transformObject: (document) => tidied(jsonSchemaTransformObject(document) as unknown as Document) as never,
  })
}

const TAGS = [
  { name: 'tasks', description: 'Store, list, show, change and remove; commands on one task and on many' },
  { name: 'bulk', description: 'Commands on many tasks that a gateway carries out' },
  { name: 'events', description: 'Past and scheduled events' },
  { name: 'callbacks', description: 'Which task runs when which event arrives' },
  { name: 'schedules', description: 'Which task runs when, repeatedly' },
  { name: 'queues', description: 'Named lanes' },
  { name: 'workers', description: 'The processes that run tasks' },
  { name: 'errors', description: 'Recurring errors' },
  { name: 'keys', description: 'Who may do what' },
  { name: 'retention', description: 'How long ended tasks are kept' },
  { name: 'audit', description: 'Who did what' },
  { name: 'handlers', description: 'What workers can run' },
  { name: 'attention', description: 'What needs somebody' },
  { name: 'documents', description: 'Invalid documents, changed by hand' },
]

interface Operation {
  requestBody?: { required?: boolean }
  [OPTIONAL_BODY]?: true
}

interface Document {
  paths: Record<string, Record<string, Operation>>
  components: { schemas: Record<string, unknown> }
}

function tidied(document: Document): Document {
  for (const operation of Object.values(document.paths).flatMap((path) => Object.values(path))) {
    if (operation[OPTIONAL_BODY] === true && operation.requestBody !== undefined) operation.requestBody.required = false
    delete operation[OPTIONAL_BODY]
  }
  return withUsedSchemas(document)
}

/** Each schema occurs once for requests and once for answers. Unused ones are removed. */
function withUsedSchemas(document: Document): Document {
  const { schemas } = document.components
  const used = new Set<string>()
  const visit = (part: unknown): void => {
    for (const [, name] of JSON.stringify(part).matchAll(/"#\/components\/schemas\/([^"]+)"/g)) {
      if (used.has(name!)) continue
      used.add(name!)
      visit(schemas[name!])
    }
  }
  visit({ ...document, components: {} })
  const kept = Object.entries(schemas).filter(([name]) => used.has(name))
  return { ...document, components: { ...document.components, schemas: Object.fromEntries(kept) } }
}
