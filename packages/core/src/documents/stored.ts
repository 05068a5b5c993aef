import type { mongo } from 'mongoose'

type AsId<Value> = Value extends readonly string[] ? mongo.ObjectId[] : mongo.ObjectId

/** A row as the database holds it: the fields `Dates` and `Ids` travel as text, and are stored as dates and ObjectIds. */
export type Stored<Row, Dates extends keyof Row, Ids extends keyof Row = never> = {
  [Field in keyof Row]: Field extends Dates
    ? Date
    : Field extends Ids
      ? AsId<Exclude<Row[Field], undefined>>
      : Row[Field]
}
