package fleet

import "container/heap"

// queue has the element with the lowest key first. The zero value is empty.
type queue[T any] struct{ items items[T] }

func (q *queue[T]) empty() bool { return len(q.items) == 0 }

func (q *queue[T]) push(key int, value T) { heap.Push(&q.items, item[T]{key, value}) }

// first is the element with the lowest key. The queue must not be empty, as for pop.
func (q *queue[T]) first() (key int, value T) { return q.items[0].key, q.items[0].value }

func (q *queue[T]) pop() (key int, value T) {
	i := heap.Pop(&q.items).(item[T])
	return i.key, i.value
}

type item[T any] struct {
	key   int
	value T
}

// items implements heap.Interface.
type items[T any] []item[T]

func (s items[T]) Len() int           { return len(s) }
func (s items[T]) Less(i, j int) bool { return s[i].key < s[j].key }
func (s items[T]) Swap(i, j int)      { s[i], s[j] = s[j], s[i] }
func (s *items[T]) Push(x any)        { *s = append(*s, x.(item[T])) }

func (s *items[T]) Pop() any {
	old := *s
	last := len(old) - 1
	i := old[last]
	old[last] = item[T]{}
	*s = old[:last]
	return i
}
