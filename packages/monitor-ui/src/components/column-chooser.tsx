import { ArrowUp, Pin, Plus, X } from 'lucide-react'
import { useState } from 'react'
import {
  COLUMN_NAMES,
  columnOf,
  columnsOf,
  DEFAULT_COLUMNS,
  mostPinned,
  pinFirst,
  pinnedCount,
  type TaskColumn,
  writeColumns,
} from '../view/task-columns.ts'
import { visibleLine } from '../view/text.ts'
import { Button, LinkButton } from './button.tsx'
import { IconButton } from './icon-button.tsx'

interface Props {
  columns: readonly TaskColumn[]
  /** Paths that the rows have, such as `labels.customer`. */
  paths: readonly string[]
  onChange: (columns: readonly TaskColumn[]) => void
}

/** Which columns the list has, in which order, and which of the first ones stay in view. */
export function ColumnChooser({ columns, paths, onChange }: Props) {
  const [path, setPath] = useState('')
  const ids = columns.map(({ id }) => id)
  const [pinned, most] = [pinnedCount(columns), mostPinned(columns)]
  const show = (id: string) => onChange([...columns, columnOf(id)!])
  const left = COLUMN_NAMES.filter((name) => !ids.includes(name))
  const wanted = path.trim().replace(/^label\./, 'labels.')
  const isPath = columnOf(wanted) !== undefined && !ids.includes(wanted)
  const add = () => {
    if (!isPath) return
    show(wanted)
    setPath('')
  }
  return (
    <div className="flex flex-col gap-2">
      <ol aria-label="Columns shown" className="flex flex-wrap gap-1.5">
        {columns.map((column, index) => {
          const { id } = column
          const title = visibleLine(column.title, 40)
          const isPinned = index < pinned
          const fits = isPinned || index < most
          return (
            <li
              key={id}
              className="flex items-center rounded-md border border-line bg-raised pl-2.5 text-xs font-medium"
            >
              {title}
              <IconButton
                icon={Pin}
                label={`Pin ${title}`}
                title={
                  fits
                    ? 'Stays in view while the list scrolls sideways, with the columns before it'
                    : 'Too wide to pin, with the columns before it'
                }
                pressed={isPinned}
                disabled={!fits}
                className="ml-1 size-7"
                onClick={() => onChange(pinFirst(columns, isPinned ? index : index + 1))}
              />
              {index > 0 && (
                <IconButton
                  icon={ArrowUp}
                  label={`Move ${title} to the left`}
                  title="To the left"
                  className="size-7 -rotate-90"
                  onClick={() =>
                    onChange(pinFirst(columns.toSpliced(index - 1, 2, column, columns[index - 1]!), pinned))
                  }
                />
              )}
              {id === 'title' ? (
                <span className="w-2" />
              ) : (
                <IconButton
                  icon={X}
                  label={`Hide ${title}`}
                  title="Hide"
                  className="size-7"
                  onClick={() => onChange(columns.filter((one) => one !== column))}
                />
              )}
            </li>
          )
        })}
      </ol>
      <div className="flex flex-wrap items-center gap-1.5">
        {left.map((name) => (
          <Button
            key={name}
            icon={Plus}
            className="min-h-7 px-2 py-0 text-xs text-dim"
            aria-label={`Show ${columnOf(name)!.title}`}
            onClick={() => show(name)}
          >
            {columnOf(name)!.title}
          </Button>
        ))}
      </div>
      <form
        className="flex flex-wrap items-center gap-1.5"
        onSubmit={(event) => {
          event.preventDefault()
          add()
        }}
      >
        <input
          className="field min-h-7 w-60 font-mono text-xs"
          aria-label="A label or a path of the input"
          placeholder="labels.customer or input.to"
          list="column-paths"
          value={path}
          onChange={(event) => setPath(event.target.value)}
        />
        <datalist id="column-paths">
          {paths.map((one) => (
            <option key={one} value={one} />
          ))}
        </datalist>
        <Button type="submit" icon={Plus} className="min-h-7 py-0 text-xs" disabled={!isPath}>
          Add column
        </Button>
        {writeColumns(columns) !== DEFAULT_COLUMNS && (
          <LinkButton className="px-1.5 py-1 text-xs" onClick={() => onChange(columnsOf(DEFAULT_COLUMNS))}>
            The usual columns
          </LinkButton>
        )}
        {wanted !== '' && !isPath && (
          <p role="status" className="text-xs text-dim">
            {ids.includes(wanted)
              ? 'This column is shown already.'
              : 'Write labels., input., output. or progress. with a path.'}
          </p>
        )}
      </form>
    </div>
  )
}
