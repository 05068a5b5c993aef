import { FleetError } from '@taskfleet/protocol'
import type { mongo } from 'mongoose'
import { SetAside } from './set-aside.ts'
import { type Doc, fits } from './shape.ts'
import { SHAPES, type ShapedCollection } from './shapes.ts'

/**
 * Checks documents from the database before other code relies on them. Malformed documents are recorded and left out, so no
 * single document can break a loop, a report or a start.
 */
export class DocumentGate {
  readonly setAside: SetAside

  constructor(db: mongo.Db, setAside = new SetAside(db)) {
    this.setAside = setAside
  }

  /** Whether a document is well-formed. */
  isReadable(collection: ShapedCollection, doc: object): boolean {
    return fits(SHAPES[collection], doc as Doc)
  }

  /** As `isReadable`, and records the document if it is not. */
  lets(collection: ShapedCollection, doc: object): boolean {
    if (fits(SHAPES[collection], doc as Doc)) return true
    this.setAside.note(collection, doc as Doc)
    return false
  }

  /** The documents that are readable. */
  all<T extends object>(collection: ShapedCollection, docs: readonly T[]): T[] {
    return docs.filter((doc) => this.lets(collection, doc))
  }

  /** The document, or null if it is missing or not readable. */
  one<T extends object>(collection: ShapedCollection, doc: T | null): T | null {
    return doc !== null && this.lets(collection, doc) ? doc : null
  }

  /** The document that was requested by its id. @throws {FleetError} `CORRUPT` */
  required<T extends object>(collection: ShapedCollection, doc: T): T {
    if (this.lets(collection, doc)) return doc
    throw new FleetError(
      'CORRUPT',
      "The document is malformed and set aside: 'taskfleet doctor' shows what is wrong with it",
      { field: 'id' },
    )
  }
}
