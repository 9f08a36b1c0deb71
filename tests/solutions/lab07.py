"""Right and wrong solutions to the exercises of lab 07."""

import torch


def right_pieces(buffers, size):
    rest, found = torch.zeros(0, dtype=torch.int16), []
    for buffer in buffers:
        rest = torch.cat([rest, buffer])
        while len(rest) >= size:
            found.append(rest[:size].float() / 32768)
            rest = rest[size:]
    return torch.stack(found) if found else torch.zeros(0, size)


def right_pieces_2(buffers, size):
    sound = torch.cat(buffers)
    return sound[: len(sound) // size * size].reshape(-1, size) / 32768


def wrong_pieces_1(buffers, size):  # not scaled
    return right_pieces(buffers, size) * 32768


def wrong_pieces_2(buffers, size):  # each buffer by itself, what is left over is lost
    whole = [b[: len(b) // size * size].reshape(-1, size) for b in buffers]
    return torch.cat(whole).float() / 32768


def wrong_pieces_3(buffers, size):  # each buffer filled up with zeros
    found = []
    for buffer in buffers:
        missing = -len(buffer) % size
        found.append(torch.nn.functional.pad(buffer, (0, missing)).view(-1, size))
    return torch.cat(found).float() / 32768


def wrong_pieces_4(buffers, size):  # the end filled up with zeros
    sound = torch.cat(buffers)
    return torch.nn.functional.pad(sound, (0, -len(sound) % size)).view(-1, size).float() / 32768


def wrong_pieces_5(buffers, size):  # divided by the largest number there is
    return right_pieces(buffers, size) * 32768 / 32767


def wrong_pieces_6(buffers, size):  # each sound as loud as it can be
    found = right_pieces(buffers, size)
    return found / found.abs().max() if len(found) else found


def wrong_pieces_7(buffers, size):  # always 512
    return right_pieces(buffers, 512)


def wrong_pieces_8(buffers, size):  # one piece from a buffer at most
    rest, found = torch.zeros(0, dtype=torch.int16), []
    for buffer in buffers:
        rest = torch.cat([rest, buffer])
        if len(rest) >= size:
            found.append(rest[:size].float() / 32768)
            rest = rest[size:]
    return torch.stack(found) if found else torch.zeros(0, size)


def wrong_pieces_9(buffers, size):  # float64, which numpy makes of it
    return right_pieces(buffers, size).double()


def right_answers_2(step, calls, begins):  # joined, as the lab's own stream is
    return torch.cat(right_answers(step, calls, begins))


def right_answers(step, calls, begins):
    states, found = {}, []
    for who, piece in calls:
        if who not in states:
            states[who] = begins.clone()
        answer, states[who] = step(piece, states[who])
        found.append(answer)
    return found


def wrong_answers_1(step, calls, begins):  # one state for all
    state, found = begins.clone(), []
    for _, piece in calls:
        answer, state = step(piece, state)
        found.append(answer)
    return found


def wrong_answers_2(step, calls, begins):  # forgotten between calls
    return [step(piece, begins.clone())[0] for _, piece in calls]


def wrong_answers_3(step, calls, begins):  # zeros, whatever it begins with
    return right_answers(step, calls, torch.zeros_like(begins))


def wrong_answers_4(step, calls, begins):  # the state of whoever begins is everybody's
    states, found = {}, []
    for who, piece in calls:
        answer, states[who] = step(piece, states.get(who, begins))
        found.append(answer)
    return found


def wrong_answers_5(step, calls, begins):  # in the order of the people
    people = sorted({who for who, _ in calls})
    return [
        answer
        for one in people
        for answer in right_answers(step, [call for call in calls if call[0] == one], begins)
    ]


def wrong_answers_6(step, calls, begins):  # begins anew when the speaker changes
    last, state, found = None, begins.clone(), []
    for who, piece in calls:
        if who != last:
            last, state = who, begins.clone()
        answer, state = step(piece, state)
        found.append(answer)
    return found
