# SPDX-License-Identifier: GPL-3.0-or-later
"""Finds circles in a directed graph: {node: iterable of nodes}. Nodes that only appear as a target have no edges."""


def knots(graph):
    """Returns the strongly connected components of more than one node, sorted. Every circle lies inside one of them."""
    index, low, on_stack, stack, found = {}, {}, set(), [], []

    def visit(root):
        # Tarjan's algorithm, with a list instead of recursion, because Python limits the recursion depth.
        work = [(root, iter(sorted(graph.get(root, ()))))]
        index[root] = low[root] = len(index)
        stack.append(root)
        on_stack.add(root)
        while work:
            node, targets = work[-1]
            for target in targets:
                if target not in index:
                    index[target] = low[target] = len(index)
                    stack.append(target)
                    on_stack.add(target)
                    work.append((target, iter(sorted(graph.get(target, ())))))
                    break
                if target in on_stack:
                    low[node] = min(low[node], index[target])
            else:
                work.pop()
                if work:
                    low[work[-1][0]] = min(low[work[-1][0]], low[node])
                if low[node] == index[node]:
                    knot = set()
                    while node not in knot:
                        knot.add(stack.pop())
                    on_stack.difference_update(knot)
                    if len(knot) > 1:
                        found.append(sorted(knot))

    for node in sorted(graph):
        if node not in index:
            visit(node)
    return sorted(found)


def shortest_circle(graph, node):
    """Returns the shortest path from the node back to itself, as a list that begins and ends with it, or None."""
    ways, seen = [[node]], set()
    while ways:
        longer = []
        for way in ways:
            for target in sorted(graph.get(way[-1], ())):
                if target == node:
                    return way + [node]
                if target not in seen:
                    seen.add(target)
                    longer.append(way + [target])
        ways = longer
    return None


def circles(graph):
    """Yields (component, path): for each node on a circle, the shortest circle through it, each of them once."""
    told = set()
    for knot in knots(graph):
        inside = {n: [t for t in graph.get(n, ()) if t in knot] for n in knot}
        for node in knot:
            way = shortest_circle(inside, node)
            if frozenset(way) not in told:
                told.add(frozenset(way))
                yield knot, way
