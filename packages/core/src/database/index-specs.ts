import { given } from '@taskfleet/protocol/internal'
import type { mongo, Schema } from 'mongoose'

/** An index that the fleet needs. */
export interface IndexSpec {
  collection: string
  name: string
  key: Record<string, 1 | -1>
  unique?: boolean
  sparse?: boolean
  partialFilterExpression?: mongo.Document
  expireAfterSeconds?: number
}

/** A mongoose schema's indexes, without the options that mongoose adds. */
export function indexSpecs(collection: string, schema: Schema): IndexSpec[] {
  return schema.indexes().map(([key, options]) => {
    const { name, unique, sparse, partialFilterExpression, expireAfterSeconds } = options
    return {
      collection,
      name: name!,
      key: key as IndexSpec['key'],
      ...(unique === undefined ? {} : { unique: unique === true }),
      ...given({ sparse, partialFilterExpression }),
      ...(typeof expireAfterSeconds === 'number' ? { expireAfterSeconds } : {}),
    }
  })
}
