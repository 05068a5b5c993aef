import type { mongo } from 'mongoose'

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
