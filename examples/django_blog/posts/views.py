import json

from django.core.paginator import Paginator
from django.db.models import Count
from django.http import HttpRequest, HttpResponse, HttpResponseBadRequest, JsonResponse
from django.shortcuts import get_object_or_404, render
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_GET, require_POST

from .models import Comment, Post

PAGE_SIZE = 20


@require_GET
def front(request: HttpRequest) -> HttpResponse:
    posts = Post.objects.annotate(comments_count=Count("comments")).order_by("id")
    page = Paginator(posts, PAGE_SIZE).get_page(request.GET.get("page"))
    return render(request, "posts/front.html", {"page": page})


@require_GET
def show(request: HttpRequest, number: int) -> HttpResponse:
    post = get_object_or_404(Post.objects.prefetch_related("comments"), pk=number)
    return render(request, "posts/post.html", {"post": post})


@csrf_exempt
@require_POST
def comment(request: HttpRequest, number: int) -> HttpResponse:
    try:
        asked = json.loads(request.body)
        author, text = asked["author"], asked["text"]
    except (ValueError, KeyError, TypeError):
        return HttpResponseBadRequest("author and text were expected")
    added = Comment.objects.create(post=get_object_or_404(Post, pk=number), author=author, text=text)
    return JsonResponse({"id": added.pk}, status=201)
