// Streams, events, and recordings of streams.
#include "fake.h"

#include <chrono>

CUresult ready(CUstream stream)
{
	if (CUresult r = ready())
		return r;
	if (stream && stream->device != current)
		return CUDA_ERROR_INVALID_HANDLE;
	return CUDA_SUCCESS;
}

CUresult submit(CUstream stream, Work work)
{
	if (!stream || !stream->recording)
		return work();
	stream->recording->work.push_back(work);
	if (!stream->first)
		stream->recording->forked.insert(stream);
	return CUDA_SUCCESS;
}

CUresult cuStreamCreate(CUstream *stream, unsigned)
{
	std::lock_guard lock(state);
	if (CUresult r = ready())
		return r;
	*stream = new CUstream_st;
	(*stream)->device = current;
	return CUDA_SUCCESS;
}

CUresult cuStreamDestroy(CUstream stream)
{
	std::lock_guard lock(state);
	CUresult r = ready(stream);
	delete stream;
	return r;
}

// Nothing is ever left to be done; but a stream that is being recorded must not be waited for.
CUresult cuStreamSynchronize(CUstream stream)
{
	std::lock_guard lock(state);
	if (CUresult r = ready(stream))
		return r;
	if (!stream || !stream->recording)
		return CUDA_SUCCESS;
	stream->recording->spoilt = true;
	return CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
}

CUresult cuEventCreate(CUevent *event, unsigned)
{
	std::lock_guard lock(state);
	if (CUresult r = ready())
		return r;
	*event = new CUevent_st;
	(*event)->device = current;
	return CUDA_SUCCESS;
}

CUresult cuEventDestroy(CUevent event)
{
	std::lock_guard lock(state);
	CUresult r = ready();
	delete event;
	return r;
}

CUresult cuEventRecord(CUevent event, CUstream stream)
{
	std::lock_guard lock(state);
	if (CUresult r = ready(stream))
		return r;
	if (event->device != current)
		return CUDA_ERROR_INVALID_HANDLE;
	event->stream = stream;
	event->recording = stream ? stream->recording : nullptr;
	event->reached = !event->recording;
	event->nanoseconds = std::chrono::steady_clock::now().time_since_epoch().count();
	return CUDA_SUCCESS;
}

// To wait for an event of a recording makes a stream part of it; to wait for one of a stream that
// became part of it so, joins that stream.
CUresult cuStreamWaitEvent(CUstream stream, CUevent event, unsigned)
{
	std::lock_guard lock(state);
	if (CUresult r = ready(stream))
		return r;
	if (!event->recording || !stream)
		return CUDA_SUCCESS;
	CUgraph graph = event->recording;
	if (!stream->recording) {
		stream->recording = graph;
		graph->streams.insert(stream);
		graph->forked.insert(stream);
	}
	graph->forked.erase(event->stream);
	return CUDA_SUCCESS;
}

CUresult cuEventSynchronize(CUevent event)
{
	std::lock_guard lock(state);
	if (CUresult r = ready())
		return r;
	if (!event->recording)
		return CUDA_SUCCESS;
	event->recording->spoilt = true;
	return CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
}

CUresult cuEventElapsedTime(float *milliseconds, CUevent start, CUevent end)
{
	std::lock_guard lock(state);
	if (CUresult r = ready())
		return r;
	if (!start->reached || !end->reached)
		return CUDA_ERROR_INVALID_HANDLE;
	*milliseconds = float(end->nanoseconds - start->nanoseconds) / 1e6f;
	return CUDA_SUCCESS;
}

CUresult cuStreamBeginCapture(CUstream stream, CUstreamCaptureMode)
{
	std::lock_guard lock(state);
	if (CUresult r = ready(stream))
		return r;
	if (!stream || stream->recording)
		return stream ? CUDA_ERROR_INVALID_VALUE : CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
	stream->recording = new CUgraph_st;
	stream->recording->streams.insert(stream);
	stream->first = true;
	return CUDA_SUCCESS;
}

CUresult cuStreamEndCapture(CUstream stream, CUgraph *graph)
{
	std::lock_guard lock(state);
	*graph = nullptr;
	if (!stream || !stream->first)
		return CUDA_ERROR_STREAM_CAPTURE_UNMATCHED;
	CUgraph recorded = stream->recording;
	for (CUstream part : recorded->streams)
		part->recording = nullptr, part->first = false;
	CUresult r = ready(stream);
	if (!r && recorded->spoilt)
		r = CUDA_ERROR_STREAM_CAPTURE_INVALIDATED;
	if (!r && !recorded->forked.empty())
		r = CUDA_ERROR_STREAM_CAPTURE_UNJOINED;
	if (r)
		delete recorded;
	else
		*graph = recorded;
	return r;
}

CUresult cuGraphDestroy(CUgraph graph)
{
	delete graph;
	return CUDA_SUCCESS;
}

CUresult cuGraphInstantiateWithFlags(CUgraphExec *executable, CUgraph graph, unsigned long long)
{
	std::lock_guard lock(state);
	if (CUresult r = ready())
		return r;
	*executable = new CUgraphExec_st{graph->work};
	return CUDA_SUCCESS;
}

CUresult cuGraphLaunch(CUgraphExec executable, CUstream stream)
{
	std::unique_lock lock(state);
	if (CUresult r = ready(stream))
		return r;
	if (stream && stream->recording) {
		for (const Work &work : executable->work)
			submit(stream, work);
		return CUDA_SUCCESS;
	}
	lock.unlock();
	for (const Work &work : executable->work)
		if (CUresult r = work())
			return r;
	return CUDA_SUCCESS;
}

CUresult cuGraphExecDestroy(CUgraphExec executable)
{
	delete executable;
	return CUDA_SUCCESS;
}
